//! Callbacks: functions that run when something happens in a run, beside the loop and without a word in it.
//!
//! A function with [`#[callback(event)]`](macro@crate::callback) says by its parameters' types what it wants of the event,
//! in any order, any part of it:
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use trainloop::prelude::*;
//!
//! #[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
//! struct EpochMetrics {
//!     #[metric(reduce = mean)]
//!     loss: f64,
//!     #[metric(reduce = sum)]
//!     samples: u64,
//! }
//!
//! #[callback(report)] // in every worker, before its report is sent; may change it
//! fn count(report: &mut Report<EpochMetrics>, worker: &WorkerInfo) {
//!     report.metrics_mut().samples = worker.steps * 64;
//! }
//!
//! #[callback(report, on = driver)] // once, with every rank's metrics and the run's
//! fn diverged(ranks: &Ranks<EpochMetrics>, reduced: &Reduced<EpochMetrics>, run: &RunInfo) -> Result<()> {
//!     if !reduced.loss.is_finite() {
//!         return Err(Error::other(format!("{} diverged: {ranks:?}", run.name)));
//!     }
//!     Ok(())
//! }
//!
//! #[callback(checkpoint)]
//! fn announce(checkpoint: &CheckpointInfo) {
//!     println!("checkpoint {} is at {}", checkpoint.index, checkpoint.path.display());
//! }
//! # fn main() {}
//! ```
//!
//! | event | where | fires | parameters |
//! |---|---|---|---|
//! | `report` | worker | at `ctx.report` and `ctx.report_with`, before the report is sent | `&mut Report<M>` (or `&Report<M>`), `&Control`, `&WorkerInfo` |
//! | `log` | worker | at `ctx.log`, and at a report once the callbacks on `report` have run: on every rank, with its own values, as Transformers' `on_log` | `&Logged`, `&Control`, `&WorkerInfo` |
//! | `report`, `on = driver` | driver | once all ranks have made the report, before a checkpoint that comes with it is committed | `&Ranks<M>`, `&Reduced<M>`, `&RunInfo` |
//! | `run_start` | driver | in `fit`, before the first worker starts | `&RunInfo` |
//! | `checkpoint` | driver | when a checkpoint is committed, by `ctx.report_with` or `ctx.step` | `&CheckpointInfo`, `Option<&Reduced<M>>` (the report that it came with), `&RunInfo` |
//! | `exception` | driver | after a rank's failure, when no worker is left, before a restart or the end | `&RunFailure`, `&RunInfo` |
//! | `restart` | driver | after a failure that is followed by another start, before that start; the `RunInfo` is that of the generation to come | `&RunFailure`, `&RunInfo` |
//! | `resize` | driver | before a generation with another number of workers than the last | `&Resize`, `&RunInfo` |
//! | `state` | driver | at each change of the run's [state](crate::trainer::RunState), once it is recorded | `&StateChange`, `&RunInfo` |
//! | `train_start` | worker | before the loop is called | `&Control`, `&WorkerInfo` |
//! | `epoch_start` | worker | at `loader.epoch(…)` of a loader that the context has prepared; also for the rest of an epoch that the run goes on with | `&EpochInfo`, `&Control`, `&WorkerInfo` |
//! | `step_start` | worker | as that loader hands out a batch | `&EpochInfo`, `&Control`, `&WorkerInfo` |
//! | `before_backward`, `after_backward` | worker | around the pass backward in an optimizer's `backward` and `backward_step` | `&Tensor` (the loss, before it is weighted), `&Control`, `&WorkerInfo` |
//! | `before_optimizer_step` | worker | in an optimizer's `step`, and at the end of a window in `backward_step` | `&Control`, `&WorkerInfo` |
//! | `step_end` | worker | at `ctx.step`, which counts the step first, before the ranks agree on a checkpoint or a stop | `&Control`, `&WorkerInfo` |
//! | `epoch_end` | worker | when the epoch's last batch has been handed out and the next is asked for; not where the loop breaks off | `&EpochInfo`, `&Control`, `&WorkerInfo` |
//! | `validation_start`, `validation_end` | worker | around what `ctx.validate` runs, inside of which no event but `report` and `log` fires in the worker | `&Control`, `&WorkerInfo` |
//! | `stop` | worker | when the ranks have agreed to stop, for a signal or a [`request_stop`](Control::request_stop) | `&WorkerInfo` |
//! | `train_end` | worker | when the loop has returned without an error | `&Control`, `&WorkerInfo` |
//! | `run_end` | driver | last, however the run ended | `&RunEnd`, `Option<&Reduced<M>>` (the last report), `&RunInfo` |
//!
//! # Which callbacks run
//!
//! One with an `M` in its parameters runs for the loops whose metrics are `M`, one without runs for every loop;
//! `only = train` names a single loop. One that fits no loop of the binary is an error of
//! [`fit`](crate::trainer::TorchTrainer::fit), before a worker starts. Callbacks on one event run by their `order`, then by
//! file and line; a report that one has changed is what the next sees.
//!
//! # Errors
//!
//! A callback returns nothing, or a `Result<(), E>` with any error. Its error, or its panic, ends the run: `fit` returns
//! [`Error::Callback`](crate::Error::Callback), or for one in a worker the [`RunFailure`](crate::trainer::RunFailure) of that
//! rank, and both name the callback with its file and line. In `exception`, and in the `run_end` and the `state` of a run that
//! failed or was stopped, it is printed as a warning: the run's own error is the one that counts.

mod control;
mod early_stopping;
mod event;
mod extract;
mod info;
mod registry;
mod report;
mod worker_event;

pub use control::Control;
pub use early_stopping::{EarlyStopping, EarlyStoppingBuilder, StopReason};
pub use event::{checkpoint, driver_report, exception, resize, restart, run_end, run_start, state, worker_report};
pub use extract::{CallbackReturn, Offer, Parameter};
pub use info::{CheckpointInfo, EpochInfo, Resize, RunEnd, RunInfo, WorkerInfo};
pub use registry::{Callback, Event, MetricsType};
pub use report::{Reduced, Report};
pub use worker_event::{
    after_backward, before_backward, before_optimizer_step, epoch_end, epoch_start, log, step_end, step_start, stop,
    train_end, train_start, validation_end, validation_start,
};

pub(crate) use early_stopping::EarlyStoppingState;
pub(crate) use registry::{Callbacks, check, described};
