//! What a callback is told of the run, the worker and the event.

use std::path::PathBuf;

/// The run, as the driver knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// How many workers the group has; 1 with `workers(0)`.
    pub world_size: usize,
    /// The group's number in this run's folder, from 1: a restart and a resume start the next.
    pub generation: u64,
    /// How often the group was started again after a failure, in this call of `fit`.
    pub restarts: u64,
}

/// The worker in which a callback runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its number in the group, from 0.
    pub rank: usize,
    /// How many workers the group has.
    pub world_size: usize,
    /// The run's name.
    pub run_name: String,
    /// How many steps `ctx.step` has counted.
    pub steps: u64,
}

/// The epoch that a loader is in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EpochInfo {
    /// Its number, as the loop gave it to the loader.
    pub epoch: u64,
    /// How many batches it has on each rank; 0 where it is a stream, whose end shows when it comes.
    pub batches: u64,
}

/// A checkpoint that has just been committed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CheckpointInfo {
    /// Its number in the run, from 0.
    pub index: u64,
    /// Its folder, for [`Checkpoint::from_directory`](crate::checkpoint::Checkpoint::from_directory).
    pub path: PathBuf,
    /// What checkpoints are ranked by; `None` where there is no score, or it was made by `ctx.step`.
    pub score: Option<f64>,
    /// How many reports had been made, the one that it came with included.
    pub reports: u64,
}

/// A group is about to go on with another number of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resize {
    /// How many there were.
    pub from: usize,
    /// How many there will be.
    pub to: usize,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunEnd {
    /// The loop returned on every rank; `outcome.json` is written.
    Finished,
    /// A signal asked it to end: 2 is SIGINT, 15 is SIGTERM.
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
    /// With the error that `fit` returns.
    Failed {
        /// Its words, with the causes.
        error: String,
    },
}
