//! Optimizers on libtorch's fused kernels, with state that can be saved.
//!
//! | optimizer | its step | in PyTorch | one call for all parameters of a group |
//! |---|---|---|---|
//! | [`Sgd`] | the gradient, or a velocity made of it | `SGD` | fused |
//! | [`Adam`] | its mean, divided by the root of its mean square | `Adam` | fused |
//! | [`AdamW`] | the same, weight decay from the weights | `AdamW` | fused |
//! | [`RmsProp`] | the gradient, divided by the root of its mean square or its variance | `RMSprop` | foreach |
//! | [`Adagrad`] | the gradient, divided by the root of the sum of its squares | `Adagrad` | fused |
//! | [`Lion`] | the sign of a mean of gradient and momentum | none | foreach |
//!
//! They have PyTorch's options, defaults and parameter groups, and are its own bit for bit. The rest:
//!
//! - [`Parameters`]: what they train;
//! - [`OptimizerState`]: all they know, for a checkpoint;
//! - [`NormType`]: how gradients are measured to be clipped;
//! - [`GradScaler`]: losses scaled for float16.
//!
//! All are one [`Optimizer`], which differs by its [`Rule`].
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

mod adagrad;
mod adam;
mod builder;
mod clip;
mod ema;
mod group;
mod lion;
mod loss_weight;
mod optimizer;
mod parameters;
mod rmsprop;
mod rule;
mod scaler;
mod sgd;
mod state;

pub use adagrad::{Adagrad, AdagradOptions, AdagradRule};
pub use adam::{Adam, AdamOptions, AdamRule, AdamW, AdamWRule};
pub use builder::Builder;
pub use clip::NormType;
pub use ema::Ema;
pub use group::{Group, ParamGroup};
pub use lion::{Lion, LionOptions, LionRule};
pub use loss_weight::LossWeight;
pub(crate) use loss_weight::Moment;
pub use optimizer::Optimizer;
pub use parameters::Parameters;
pub(crate) use parameters::{buffers, named_trainable};
pub use rmsprop::{RmsProp, RmsPropOptions, RmsPropRule};
pub use rule::Rule;
pub use scaler::{GradScaler, GradScalerBuilder, GradScalerState};
pub use sgd::{Sgd, SgdOptions, SgdRule};
pub use state::{GroupState, OptimizerState};
