//! What there is of a run that has not ended well.

use std::path::PathBuf;
use std::time::Duration;

use trainloop_checkpoint::Checkpoints;

use super::history;
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::metric::{Metrics, Ranks};

/// What there is of a run that has not ended well: [`Error::outcome`](crate::Error::outcome).
///
/// ```no_run
/// # use serde::{Deserialize, Serialize};
/// # use trainloop::prelude::*;
/// # #[derive(Metrics, Serialize, Deserialize, Debug, Clone)] struct Epoch { #[metric(reduce = mean)] loss: f64 }
/// # #[train_loop] fn train(ctx: &mut Context<Epoch>) -> Result<()> { Ok(()) }
/// # fn main() -> Result<()> {
/// match TorchTrainer::<train>::new(()).fit() {
///     Ok(outcome) => println!("{:?}", outcome.metrics),
///     Err(error) => {
///         if let Some(so_far) = error.outcome() {
///             let last = so_far.metrics::<Epoch>()?;
///             let checkpoint = so_far.latest_checkpoint()?.map(|checkpoint| checkpoint.index());
///             eprintln!("after {} reports: {last:?}, saved as {checkpoint:?}", so_far.reports);
///         }
///         return Err(error);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Unfinished {
    /// The run's folder.
    pub path: PathBuf,
    /// How many reports all ranks made, those before a resume included.
    pub reports: u64,
    /// How often the group was started again.
    pub restarts: u64,
    /// From `fit()` to its end.
    pub duration: Duration,
    pub(super) checkpoints: Checkpoints,
    pub(super) latest: Option<u64>,
    pub(super) best: Option<u64>,
}

impl Unfinished {
    /// The last report that all ranks made, reduced over them.
    ///
    /// # Errors
    /// As [`history`](Self::history).
    pub fn metrics<M: Metrics>(&self) -> Result<Option<M>> {
        Ok(self.history()?.pop())
    }

    /// Every report that all ranks made, reduced, in their order.
    ///
    /// # Errors
    /// Where `reports.jsonl` cannot be read, or holds other metrics.
    pub fn history<M: Metrics>(&self) -> Result<Vec<M>> {
        history::reduced(&self.path.join("reports.jsonl"))
    }

    /// [`history`](Self::history), with every rank's own metrics.
    ///
    /// # Errors
    /// As [`history`](Self::history).
    pub fn history_of_ranks<M: Metrics>(&self) -> Result<Vec<Ranks<M>>> {
        history::rounds(&self.path.join("reports.jsonl"))
    }

    /// The newest checkpoint.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) where it is damaged.
    pub fn latest_checkpoint(&self) -> Result<Option<Checkpoint>> {
        self.checkpoint(self.latest)
    }

    /// The checkpoint that ranks first by the score; the newest where there is no score.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) where it is damaged.
    pub fn best_checkpoint(&self) -> Result<Option<Checkpoint>> {
        self.checkpoint(self.best)
    }

    fn checkpoint(&self, index: Option<u64>) -> Result<Option<Checkpoint>> {
        index.map(|index| Checkpoint::from_directory(self.checkpoints.folder(index)?)).transpose()
    }
}
