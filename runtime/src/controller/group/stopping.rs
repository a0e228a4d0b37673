//! What a group does when its time is up: the loops that are asked to stop, and everything that is waited for only so long.

use std::time::{Duration, Instant};

use super::Group;
use crate::channel::ToWorker;
use crate::controller::failure::{FailureKind, Seen};
use crate::controller::member::Phase;
use crate::error::{Error, Result};

/// A rank whose loop has returned may take so long to end.
const LEAVE: Duration = Duration::from_secs(10);
/// A loop that was asked to stop may take so long to come to a place where it can.
const STOP: Duration = Duration::from_secs(30);

impl Group<'_> {
    /// Asks the loops to stop where they can; a second signal, or one to loops that cannot, ends them.
    pub(super) fn interrupt(&mut self, signal: i32) -> Result<()> {
        if self.stopping.is_some() || !self.can_stop {
            return Err(self.interrupted(signal, None));
        }
        self.job.console.note("stopping: the ranks save at their next step; a second signal ends them at once");
        self.stopping = Some((signal, Instant::now() + STOP));
        self.send_all(&ToWorker::Stop)
    }

    pub(super) fn interrupted(&self, signal: i32, steps: Option<u64>) -> Error {
        crate::__private::note_interrupt(signal);
        Error::Interrupted { steps, signal, run: self.job.run.to_owned() }
    }

    /// The next time at which something is to be done without an event.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let starting = self.members.iter().any(|member| member.phase == Phase::Starting);
        let joined_by = starting.then_some(self.start_by);
        let left_by = self.leaving_since.map(|since| since + LEAVE);
        let stopped_by = self.stopping.map(|(_, by)| by);
        [self.end_at, joined_by, left_by, stopped_by].into_iter().flatten().min()
    }

    pub(super) fn pass_deadlines(&mut self) -> Result<()> {
        let now = Instant::now();
        if now >= self.start_by && self.failures.is_empty() {
            let late = self.members.iter().find(|member| member.phase == Phase::Starting);
            if let Some(rank) = late.map(|member| member.rank) {
                self.fail(Seen { rank, kind: FailureKind::NotStarted, peer_failure: false, reports: 0 });
            }
        }
        let stuck = self.leaving_since.is_some_and(|since| now >= since + LEAVE);
        if stuck || self.end_at.is_some_and(|at| now >= at) {
            self.end_at = None;
            self.ending = true;
            for member in &self.members {
                member.kill();
            }
        }
        match self.stopping {
            Some((signal, by)) if now >= by && !self.ending => Err(self.interrupted(signal, None)),
            _ => Ok(()),
        }
    }
}
