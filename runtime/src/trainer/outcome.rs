//! What came of a run.

use std::path::PathBuf;
use std::time::Duration;

use super::TrainLoop;

/// What came of a run that ended well.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome<L: TrainLoop> {
    /// The last report that all ranks made, reduced over them.
    pub metrics: Option<L::Metrics>,
    /// What the loop returned on rank 0.
    pub output: L::Output,
    /// The run's folder: `reports.jsonl` holds every rank's reports, `logs/` what they printed.
    pub path: PathBuf,
    /// How many reports all ranks made.
    pub reports: u64,
    /// How often the group was started again.
    pub restarts: u64,
    /// From `fit()` to its end.
    pub duration: Duration,
}
