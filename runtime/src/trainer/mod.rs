//! The trainer: what is run, on how many workers, and what came of it.

mod config;
mod outcome;
pub(crate) mod registry;
mod run_folder;
mod torch_trainer;

pub use crate::controller::{FailureKind, RunFailure};
pub use config::{RunConfig, ScalingConfig};
pub use outcome::Outcome;
pub use registry::{ContextParam, LoopConfig, LoopReturn, TrainLoop};
pub use torch_trainer::TorchTrainer;

pub(crate) use registry::find;
pub(crate) use run_folder::unix_now;
