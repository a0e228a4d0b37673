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
//! # When the state changes
//!
//! A field that is missing in a checkpoint, and a saved one that the state does not ask for, are errors. Options of the
//! attribute say what became of a field:
//!
//! ```no_run
//! use trainloop::prelude::*;
//! use trainloop::state::{StateReader, StateWriter};
//! # use tch::nn::Linear;
//!
//! #[derive(TrainState)]
//! #[state(version = 2)]
//! struct State {
//!     #[state(alias = "net")] // was `net` once
//!     model: Model<Linear>,
//!     #[state(default)] // new: stays as it was built where an older checkpoint lacks it
//!     optimizer: AdamW,
//!     #[state(serde, default = 5)] // new, with a value for older checkpoints
//!     patience: u64,
//!     #[state(with = duration)] // no `TrainState` of its own
//!     training: std::time::Duration,
//!     phase: Phase,
//! }
//!
//! #[derive(TrainState)]
//! enum Phase {
//!     Warmup,
//!     Training {
//!         #[state(serde)]
//!         round: u64,
//!     },
//! }
//!
//! mod duration {
//!     use std::time::Duration;
//! #   use super::*;
//!
//!     pub fn save(time: &Duration, out: &mut StateWriter) -> Result<()> {
//!         out.value(&time.as_secs_f64())
//!     }
//!
//!     pub fn restore(time: &mut Duration, from: &StateReader<'_>) -> Result<()> {
//!         let saved: f64 = from.value()?;
//!         // Version 1 of the layout had minutes.
//!         let seconds = if from.version() < 2 { saved * 60.0 } else { saved };
//!         *time = Duration::try_from_secs_f64(seconds).map_err(|error| from.error(error))?;
//!         Ok(())
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! The version is for changes that names do not show, as here of a unit. A checkpoint of a newer version is refused.
//! The derive's own documentation has a table of all options.
//!
//! # Files
//!
//! Tensors go to a `.safetensors` file for each part, written by rank 0, whose replicas the other ranks' are; plain values
//! are written by every rank, and a rank gets its own back.

pub(crate) mod derived;
mod files;
mod parts;
mod reader;
mod safetensors;
#[cfg(test)]
mod tests;
pub(crate) mod value;
mod writer;

pub use reader::StateReader;
pub use trainloop_macros::TrainState;
pub use value::StateValue;
pub use writer::StateWriter;

pub(crate) use safetensors::{TensorFile, kind_of, read as read_safetensors};

pub(crate) use files::{Prepared, Reader, Saved, prepare, restore};

use crate::error::Result;

/// Something that a checkpoint holds.
///
/// Derive it for structs and enums. A field is a part that is itself `TrainState` ([`Model`](crate::strategy::Model), the optimizers,
/// the schedules, [`DataLoader`](crate::data::DataLoader), structs and enums that derive it, options of them), or, with
/// `#[state(serde)]`, any value that serde can write and read, or, with `#[state(with = module)]`, what two functions of a
/// module save and restore.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be saved in a checkpoint: it does not implement `TrainState`",
    label = "not a `TrainState`",
    note = "for a plain value write `#[state(serde)]` above the field, for what need not be saved `#[state(skip)]`, for a type of your own `#[derive(trainloop::TrainState)]`, and for one of another crate `#[state(with = module)]`",
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
