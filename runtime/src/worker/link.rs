//! Where a worker's reports and checkpoints go.

use crate::channel::{Begun, Written};
use crate::error::Result;

/// The way to the controller: a socket, or, with `workers(0)`, a call.
pub(crate) trait Link {
    /// One `ctx.report` after so many steps, its metrics encoded.
    fn report(&self, index: u64, steps: u64, metrics: Vec<u8>) -> Result<()>;

    /// What rank 0 logs at a step, encoded.
    fn log(&self, step: u64, values: Vec<u8>) -> Result<()>;

    /// This rank has come to the place of a checkpoint.
    fn begin(&self, begun: Begun) -> Result<()>;

    /// This rank's part of a checkpoint that it has begun.
    fn hand_in(&self, written: Written) -> Result<()>;

    /// The same from a thread; `None` where only the loop's own can, as for a call.
    fn hand_in_from_a_thread(&self) -> Option<HandIn>;

    /// Waits for what became of a checkpoint, once this rank has handed in its part.
    fn answer(&self, checkpoint: u64) -> Result<Answer>;

    /// The same, if it is known by now.
    fn poll_answer(&self, checkpoint: u64) -> Result<Option<Answer>>;

    /// How far the loader is; dropped where it cannot be shown.
    fn progress(&self, done: u64, total: u64);

    /// The loop has come to a place where it can stop; said once.
    fn can_stop(&self) -> Result<()>;

    /// True once the run is to be stopped.
    fn stop_wished(&self) -> bool;
}

/// Hands in a part from any thread.
pub(crate) type HandIn = Box<dyn FnOnce(Written) -> Result<()> + Send>;

/// What became of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) checkpoint: u64,
    /// Why it was not committed.
    pub(crate) failed: Option<String>,
    /// All ranks are to stop here.
    pub(crate) stop: bool,
}
