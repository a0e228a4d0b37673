//! The trainer: what is run, on how many workers, and what came of it.

mod checkpoint_config;
mod config;
mod driver_events;
mod history;
mod in_process;
mod outcome;
pub(crate) mod registry;
mod run_folder;
mod session;
mod torch_trainer;

pub use crate::controller::{FailureKind, RunFailure};
pub use checkpoint_config::{CheckpointConfig, FailureConfig, Resume, ScoreValue};
pub use config::{RunConfig, ScalingConfig};
pub use outcome::Outcome;
pub use registry::{ContextParam, LoopConfig, LoopReturn, TrainLoop};
pub use torch_trainer::TorchTrainer;

pub(crate) use checkpoint_config::Every;
pub(crate) use registry::find;
pub(crate) use run_folder::unix_now;
