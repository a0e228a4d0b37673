//! The trainer: what is run, on how many workers, and what came of it.

mod call;
mod checkpoint_config;
mod driver_events;
mod history;
mod in_process;
mod outcome;
mod parameters;
pub(crate) mod registry;
mod removed;
mod run_config;
mod run_folder;
mod scaling_config;
mod session;
mod torch_trainer;

pub use crate::channel::Travels;
pub use crate::controller::{FailureKind, RunFailure};
#[doc(hidden)]
pub use call::{Beside, init_state, run};
pub use checkpoint_config::{CheckpointConfig, ScoreValue, WhenBusy};
pub use outcome::Outcome;
pub use parameters::{ContextParam, InitState, Lent, LoopReturn};
pub use registry::TrainLoop;
pub use removed::{AccelerateTrainer, LightningTrainer, TransformersTrainer};
pub use run_config::{FailureConfig, Resume, RunConfig};
pub use scaling_config::{Backend, ScalingConfig, Workers};
pub use torch_trainer::TorchTrainer;

pub(crate) use checkpoint_config::Every;
pub(crate) use registry::{Registration, find};
