//! Optimizers on libtorch's fused kernels, with state that can be saved.
//!
//! - [`Sgd`], [`Adam`], [`AdamW`]: PyTorch's, with its options, defaults and parameter groups, bit for bit;
//! - [`Parameters`]: what they train;
//! - [`OptimizerState`]: all they know, for a checkpoint;
//! - [`NormType`]: how gradients are measured to be clipped.
//!
//! The three are one [`Optimizer`], which differs by its [`Rule`].
//!
//! ```no_run
//! use tch::{Device, nn};
//! use trainloop::optim::AdamW;
//!
//! # fn main() -> trainloop::Result<()> {
//! let vars = nn::VarStore::new(Device::Cpu);
//! let weight = vars.root().randn("weight", &[3], 0.0, 1.0);
//! let mut optimizer = AdamW::builder(1e-3).build(&vars)?;
//! let loss = weight.square().sum(None);
//! optimizer.backward_step(&loss)?;
//! # Ok(())
//! # }
//! ```

mod adam;
mod builder;
mod clip;
mod group;
mod loss_weight;
mod optimizer;
mod parameters;
mod rule;
mod sgd;
mod state;

pub use adam::{Adam, AdamOptions, AdamRule, AdamW, AdamWRule};
pub use builder::Builder;
pub use clip::NormType;
pub use group::{Group, ParamGroup};
pub use loss_weight::LossWeight;
pub use optimizer::Optimizer;
pub use parameters::Parameters;
pub(crate) use parameters::{buffers, named_trainable};
pub use rule::Rule;
pub use sgd::{Sgd, SgdOptions, SgdRule};
pub use state::{GroupState, OptimizerState};
