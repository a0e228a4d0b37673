//! The trainer: what is run, on how many workers, and what came of it.

mod call;
mod checkpoint_config;
mod driver_events;
mod history;
mod in_process;
mod outcome;
mod parameters;
mod policy;
pub(crate) mod registry;
mod removed;
mod run_config;
mod run_folder;
mod run_state;
mod scaling_config;
mod session;
mod torch_trainer;
mod unfinished;
mod verbosity;
mod workers;

pub use crate::channel::Travels;
pub use crate::controller::{FailureKind, RankActivity, RunFailure};
#[doc(hidden)]
pub use call::{Beside, init_state, run};
pub use checkpoint_config::{CheckpointConfig, ScoreValue, WhenBusy};
pub use outcome::{Outcome, best_checkpoint};
pub use parameters::{ContextParam, InitState, Lent, LoopReturn};
pub use registry::TrainLoop;
pub use removed::{AccelerateTrainer, LightningTrainer, TransformersTrainer};
pub use run_config::{FailureConfig, Resume, RunConfig};
pub use run_state::{RunState, StateChange};
pub use scaling_config::{Backend, ScalingConfig};
pub use torch_trainer::TorchTrainer;
pub use unfinished::Unfinished;
pub use verbosity::Verbosity;
pub use workers::Workers;

pub(crate) use checkpoint_config::Every;
pub(crate) use registry::{Registration, find};
pub(crate) use run_folder::write_whole;
