//! What a train loop uses: `use trainloop::prelude::*;`. Serde's derives are not in it.

pub use crate::c10d::ReduceOp;
pub use crate::callback::{
    CheckpointInfo, Control, EarlyStopping, EpochInfo, Reduced, Report, Resize, RunEnd, RunInfo, WorkerInfo,
};
pub use crate::checkpoint::Checkpoint;
pub use crate::cli::{Cli, Config};
pub use crate::data::{Batch, DataLoader, Dataset};
pub use crate::metric::{Metrics, Ranks};
pub use crate::optim::{Adagrad, Adam, AdamW, GradScaler, Lion, ParamGroup, RmsProp, Sgd};
pub use crate::random::{Generators, seed_everything};
pub use crate::schedule::{
    ConstantLr, CosineLr, CosineRestartsLr, ExponentialLr, InverseSqrtLr, LinearWarmup, MultiStepLr, OneCycleLr,
    PlateauScheduler, PolynomialLr, ReduceOnPlateau, Schedule, Scheduler, StepLr, WarmupStableDecayLr,
};
pub use crate::state::TrainState;
pub use crate::strategy::{Model, ModelOptions};
pub use crate::tracker::Logged;
pub use crate::trainer::{
    AccelerateTrainer, Backend, CheckpointConfig, FailureConfig, InitState, LightningTrainer, Outcome, Resume,
    RunConfig, RunFailure, RunState, ScalingConfig, StateChange, TorchTrainer, TransformersTrainer, Verbosity,
};
pub use crate::worker::{Context, Files};
pub use crate::{Error, Result, callback, train_loop};
pub use tch::Device;
