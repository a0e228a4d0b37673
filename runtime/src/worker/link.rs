//! Where a worker's reports and checkpoints go.

use crate::channel::Save;
use crate::error::Result;

/// The way to the controller: a socket, or, with `workers(0)`, a call.
pub(crate) trait Link {
    /// One `ctx.report`, its metrics encoded.
    fn report(&self, index: u64, metrics: Vec<u8>) -> Result<()>;

    /// This rank's part of a checkpoint; waits until all ranks have given theirs and it is committed.
    fn save(&self, save: Save) -> Result<Answer>;

    /// How far the loader is; dropped where it cannot be shown.
    fn progress(&self, done: u64, total: u64);

    /// The loop has come to a place where it can stop; said once.
    fn can_stop(&self) -> Result<()>;

    /// True once the run is to be stopped.
    fn stop_wished(&self) -> bool;
}

/// What became of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Why it was not committed.
    pub(crate) failed: Option<String>,
    /// All ranks are to stop here.
    pub(crate) stop: bool,
}
