//! Experiment trackers: where a run's metrics go besides its own records.
//!
//! Given to the run, a tracker gets everything that is reported and logged, in whatever style the loop is written:
//!
//! ```no_run
//! # use serde::{Deserialize, Serialize};
//! use trainloop::prelude::*;
//! use trainloop::tracker::{Csv, JsonLines, TensorBoard};
//! # #[derive(Serialize, Deserialize, Clone)] struct Config { lr: f64 }
//! # #[derive(Metrics, Serialize, Deserialize, Debug, Clone)] struct EpochMetrics { #[metric(reduce = mean)] loss: f64 }
//!
//! #[train_loop]
//! fn train(ctx: &mut Context<EpochMetrics>, config: Config) -> Result<()> {
//!     for step in 0..1000 {
//!         // … train …
//!         # let (loss, lr) = (0.5, 0.1);
//!         if step % 10 == 0 {
//!             ctx.log(&[("train/loss", loss), ("train/lr", lr)])?; // rank 0's, as they are
//!         }
//!     }
//!     ctx.report(EpochMetrics { loss: 0.5 }) // all ranks', reduced
//! }
//!
//! #[trainloop::main]
//! fn main() -> Result<()> {
//!     let run = RunConfig::named("digits")
//!         .tracker(TensorBoard::new()) // `tensorboard --logdir runs`
//!         .tracker(Csv::new())
//!         .tracker(JsonLines::new());
//!     TorchTrainer::<train>::new(Config { lr: 0.1 }).run(run).fit()?;
//!     Ok(())
//! }
//! ```
//!
//! Trackers live in the driver, which is rank 0's process or its parent: what the other ranks log goes nowhere, and there is
//! one writer. A report is tracked once, when all ranks have made it, reduced. Its step is what `ctx.step` has counted, or,
//! in a loop that never calls it, the report's number.
//!
//! # Resume and restart
//!
//! A run that goes on from a checkpoint makes again what was logged after it. Whatever [`Csv`] and [`JsonLines`] have past
//! the checkpoint is cut off, and they go on in the same file. [`TensorBoard`] begins a new event file, as `TensorBoard`'s own
//! writers do, whose first event has the reader drop what is to come again. In each of them no value is there twice.
//!
//! # A tracker of one's own
//!
//! ```
//! use trainloop::prelude::*;
//! use trainloop::tracker::{Logged, Tracker};
//!
//! /// Rings a bell for each record.
//! struct Bell { best: f64 }
//!
//! impl Tracker for Bell {
//!     fn name(&self) -> &str {
//!         "bell"
//!     }
//!
//!     fn log(&mut self, logged: &Logged) -> Result<()> {
//!         if let Some(loss) = logged.get("loss").and_then(|loss| loss.as_f64()).filter(|loss| *loss < self.best) {
//!             self.best = loss;
//!             println!("\x07step {}: {loss}", logged.step());
//!         }
//!         Ok(())
//!     }
//! }
//! # let mut bell = Bell { best: 1.0 };
//! # bell.log(&Logged::new(3, [("loss", 0.5)]))?;
//! # assert_eq!(bell.best, 0.5);
//! # let _ = RunConfig::named("digits").tracker(bell);
//! # Ok::<(), trainloop::Error>(())
//! ```
//!
//! A tracker that fails while the run goes on is left out from there on, with a warning: the run's own `reports.jsonl` has
//! every report in any case. One that cannot start is an error of `fit`, before a worker starts.

mod csv;
mod given;
mod jsonl;
mod logged;
mod tensorboard;
mod trackers;

use crate::callback::RunInfo;
use crate::error::Result;

pub use csv::Csv;
pub use jsonl::JsonLines;
pub use logged::{Logged, Scalar};
pub use tensorboard::TensorBoard;

pub(crate) use given::Given;
pub(crate) use logged::{step, values};
pub(crate) use trackers::Trackers;

/// Where metrics go. See the [module's example](self).
///
/// The calls come in this order, in the driver: [`start`](Self::start), then for each generation of the group
/// [`rewind`](Self::rewind) and any number of [`log`](Self::log), with [`log_config`](Self::log_config) after the first
/// `rewind`; at last [`finish`](Self::finish), however the run ends. Accelerate's `GeneralTracker` has the same, but for
/// `rewind`.
pub trait Tracker: Send {
    /// What warnings call it.
    fn name(&self) -> &str;

    /// A run begins, or goes on in another process.
    ///
    /// # Errors
    /// Its own; they are `fit`'s, and no worker starts.
    fn start(&mut self, run: &RunInfo) -> Result<()> {
        let _ = run;
        Ok(())
    }

    /// The group is about to start, be it from a checkpoint: what was logged past it comes again. Nothing is done unless said
    /// otherwise.
    ///
    /// # Errors
    /// Its own.
    fn rewind(&mut self, to: Rewind) -> Result<()> {
        let _ = to;
        Ok(())
    }

    /// The loop's config, its fields by their names. Nothing is done with it unless said otherwise.
    ///
    /// # Errors
    /// Its own.
    fn log_config(&mut self, config: &Logged) -> Result<()> {
        let _ = config;
        Ok(())
    }

    /// Metrics of a step: a report of all ranks, reduced, or what rank 0 has logged.
    ///
    /// # Errors
    /// Its own.
    fn log(&mut self, logged: &Logged) -> Result<()>;

    /// Nothing more comes: the run has ended, well or not.
    ///
    /// # Errors
    /// Its own.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Which of what was logged came before the checkpoint that a group starts from. It is asked for one after another, in the
/// order in which they were logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewind {
    /// So many reports were made before the checkpoint.
    reports: u64,
    /// So many times rank 0 had logged.
    logged: u64,
}

impl Rewind {
    /// To a checkpoint before which rank 0 had made so many reports, and logged so often besides; zeros are a new run.
    #[must_use]
    pub fn to(reports: u64, logged: u64) -> Self {
        Self { reports, logged }
    }

    /// Whether the next stays; `report` is its [number](Logged::report).
    pub fn keeps(&mut self, report: Option<u64>) -> bool {
        if let Some(report) = report {
            return report < self.reports;
        }
        let keeps = self.logged > 0;
        self.logged = self.logged.saturating_sub(1);
        keeps
    }
}

#[cfg(test)]
mod tests;
