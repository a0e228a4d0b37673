//! The state of a training: what a checkpoint holds, and how each part is saved and restored.
//!
//! Derive [`TrainState`] for a struct that holds the model, the optimizer, the loader and what else must survive:
//!
//! ```no_run
//! use trainloop::prelude::*;
//! # use tch::nn::Linear;
//! # #[derive(Clone)] struct Digits;
//! # impl Dataset for Digits {
//! #     type Sample = (); type Batch = ();
//! #     fn len(&self) -> usize { 0 }
//! #     fn get(&self, _: usize) -> Result<()> { Ok(()) }
//! #     fn collate(&self, _: Vec<()>) -> Result<()> { Ok(()) }
//! # }
//!
//! #[derive(TrainState)]
//! struct State {
//!     model: Model<Linear>,
//!     optimizer: AdamW,
//!     loader: DataLoader<Digits>,
//!     #[state(serde)]
//!     epoch: u64,
//!     #[state(skip)]
//!     started: std::time::Instant,
//! }
//! ```
//!
//! Tensors go to a `.safetensors` file for each part, written by rank 0, whose replicas the other ranks' are; plain values
//! are written by every rank, and a rank gets its own back.

mod files;
mod parts;
mod reader;
mod safetensors;
mod value;
mod writer;

pub use reader::StateReader;
pub use trainloop_macros::TrainState;
pub use value::{StateValue, restore_value, save_value};
pub use writer::StateWriter;

pub(crate) use files::{Saved, restore, save};

use crate::error::Result;

/// Something that a checkpoint holds.
///
/// Derive it for structs. A field is a part that is itself `TrainState` ([`Model`](crate::strategy::Model), the optimizers,
/// the schedules, [`DataLoader`](crate::data::DataLoader), structs that derive it, options of them), or, with
/// `#[state(serde)]`, any value that serde can write and read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be saved in a checkpoint: it does not implement `TrainState`",
    label = "not a `TrainState`",
    note = "for a plain value write `#[state(serde)]` above the field, for what need not be saved `#[state(skip)]`, and for a struct of your own `#[derive(trainloop::TrainState)]`",
    note = "tch's own optimizers cannot be saved: libtorch's C++ keeps their state to itself; use `trainloop::optim`'s `Sgd`, `Adam` or `AdamW`"
)]
pub trait TrainState {
    /// Hands every part to `out`.
    ///
    /// # Errors
    /// Where a part cannot be saved.
    fn save(&self, out: &mut StateWriter) -> Result<()>;

    /// Takes every part from `from`.
    ///
    /// # Errors
    /// Where a part is missing, or is not what the state expects, such as a tensor of another shape.
    fn restore(&mut self, from: &StateReader<'_>) -> Result<()>;
}
