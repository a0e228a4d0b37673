//! What a generation is to do, what it tells on its way, and how it ends.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::channel::Start;
use crate::controller::ledger::Ledger;
use crate::controller::slots::Elastic;
use crate::error::Result;
use crate::launch::{Host, Spares};
use crate::log::Console;
use crate::tracker::Trackers;
use crate::worker::StepTimes;

/// What a generation is to do.
pub(crate) struct Job<'a> {
    pub(crate) start: Start,
    pub(crate) start_timeout: Duration,
    /// A worker of which nothing is heard for so long has failed.
    pub(crate) heartbeat_timeout: Duration,
    /// So has a rank that makes no report for so long.
    pub(crate) report_timeout: Option<Duration>,
    pub(crate) logs: &'a Path,
    pub(crate) run: &'a Path,
    pub(crate) ledger: Ledger,
    pub(crate) console: &'a Console,
    pub(crate) trackers: &'a Trackers,
    pub(crate) on_milestone: OnMilestone<'a>,
    /// Where the number of workers may change.
    pub(crate) elastic: Option<Elastic<'a>>,
    /// The first so many ranks are the driver's to start; the others come by themselves.
    pub(crate) children: usize,
    /// Where an engine has started the ranks: the driver is one of them, and the others are on their way to it.
    pub(crate) host: Option<Host>,
    /// Taken for the ranks where there are any; those of the next generation are started once the loops run.
    pub(crate) spares: &'a mut Spares,
}

impl Job<'_> {
    /// All ranks have made a report, after so many steps.
    pub(super) fn reported(&self, index: u64, steps: u64, reduced: &Value) {
        self.console.report(index, reduced);
        self.trackers.report(index, steps, reduced);
    }
}

/// What a group comes to on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Milestone {
    /// Every rank's loop has begun.
    Running,
    /// A signal has come, and the loops are asked to save and stop.
    Stopping { signal: i32 },
    /// There is room for another number of workers, and the loops are asked to save and stop.
    Resizing { workers: usize },
    /// No loop is left.
    Returned,
}

/// Told of each milestone; its error ends the group.
pub(crate) type OnMilestone<'a> = Box<dyn FnMut(Milestone) -> Result<()> + 'a>;

/// How a generation ended that did not fail.
pub(crate) enum End {
    /// Its loops returned.
    Returned(Ended),
    /// Its loops saved and stopped, so that it can be resized.
    Stopped,
}

/// A generation whose loops returned.
pub(crate) struct Ended {
    /// What rank 0's loop returned, encoded.
    pub(crate) output: Vec<u8>,
    /// How many reports all ranks have made.
    pub(crate) rounds: u64,
    /// How long rank 0's loop stood still for checkpoints.
    pub(crate) stood_still: Duration,
    /// What its steps took their time for.
    pub(crate) step_times: StepTimes,
}
