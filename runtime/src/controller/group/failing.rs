//! What a group does when a rank fails, and what it says of it in the end.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use super::{End, Ended, Group, Milestone};
use crate::channel::Failure;
use crate::controller::activity::RankActivity;
use crate::controller::failure::{FailureKind, Place, RunFailure, Seen, cause};
use crate::controller::member::{Member, Phase};
use crate::controller::process::Ending;
use crate::error::{Error, Result};

/// Ranks that fail within this time of the first are heard before the group is ended: the cause may be among them.
const SETTLE: Duration = Duration::from_millis(50);
/// Where only consequences have been seen, the cause is waited for so long.
const SETTLE_FOR_CAUSE: Duration = Duration::from_secs(1);

impl Group<'_> {
    /// Something about this rank is a failure, now.
    pub(super) fn fail_rank(&mut self, rank: usize, kind: FailureKind) {
        let member = &self.members[rank];
        let (reports, in_start) = (member.reports, member.is_in_start());
        self.fail(Seen { rank, kind, peer_failure: false, reports, in_start, backtrace: None });
    }

    /// A rank has done what the others cannot follow.
    pub(super) fn blame(&mut self, rank: usize, error: Error) -> Result<()> {
        // A disk that is full, say, is nobody's mistake.
        let Error::Checkpoint(message) = error else { return Err(error) };
        self.fail_rank(rank, FailureKind::Error(message));
        Ok(())
    }

    /// A rank that returned can never make the reports that another has already made.
    pub(super) fn check_for_early_returns(&mut self) {
        if let Some(rank) = self.tally.early_return() {
            self.fail_rank(rank, FailureKind::ReturnedEarly);
        }
    }

    /// Once no loop is left, nothing but the ends of processes is awaited.
    pub(super) fn check_for_the_end(&mut self) -> Result<()> {
        if self.leaving_since.is_none() && self.tally.all_ended_well() {
            self.leaving_since = Some(Instant::now());
            if self.members.iter().any(|member| member.phase.stopped_at().is_none()) {
                (self.job.on_milestone)(Milestone::Returned)?;
            }
        }
        Ok(())
    }

    /// A process has ended.
    pub(super) fn bury(&mut self, rank: usize) -> Result<()> {
        if self.members[rank].is_gone() {
            return Ok(());
        }
        let ending = self.members[rank]
            .reap()
            .map_err(|error| Error::channel(format!("cannot wait for rank {rank}: {error}")))?;
        let Some(ending) = ending else { return Ok(()) };
        self.tally.goes();
        // What it said before its end counts.
        while self.hear(rank)? {}
        let member = &mut self.members[rank];
        member.drain_output(self.job.console);
        if member.phase.goes_on() {
            let kind = FailureKind::from(ending);
            if self.ending && matches!(kind, FailureKind::Signal(9) | FailureKind::CutOff) {
                self.still_ran.push((rank, member.reports));
            } else {
                self.fail_rank(rank, kind);
            }
            self.enter(rank, Phase::Failed);
        }
        Ok(())
    }

    pub(super) fn fail(&mut self, failure: Seen) {
        if !self.failed.insert(failure.rank) {
            return;
        }
        let patience = if failure.peer_failure { SETTLE_FOR_CAUSE } else { SETTLE };
        let end_at = Instant::now() + patience;
        if self.failures.is_empty() {
            self.end_at = Some(end_at);
        } else {
            self.end_at = self.end_at.map(|at| at.min(end_at));
        }
        self.failures.push(failure);
    }

    /// After the last process's end.
    pub(super) fn outcome(&mut self) -> Result<End> {
        self.job.ledger.flush()?;
        let returned: Vec<Place> = self
            .members
            .iter()
            .filter(|member| matches!(member.phase, Phase::Finished(_)))
            .map(|member| (member.rank, member.reports))
            .collect();
        let activity: Vec<RankActivity> = self.members.iter().map(Member::activity).collect();
        if let Some(first) = cause(&self.failures, &returned, &self.still_ran, &activity) {
            let consequences = self.failures.iter().filter(|seen| seen.peer_failure && seen.rank != first.rank);
            let mut consequences: Vec<usize> = consequences.map(|seen| seen.rank).collect();
            consequences.sort_unstable();
            let mut also: Vec<usize> =
                self.failures.iter().filter(|seen| seen.is_as(&first)).map(|seen| seen.rank).collect();
            also.sort_unstable();
            consequences.retain(|rank| also.binary_search(rank).is_err());
            let Member { log, doing, .. } = &self.members[first.rank];
            return Err(Error::Run(Box::new(RunFailure {
                rank: first.rank,
                kind: first.kind,
                generation: self.job.start.generation,
                steps: doing.steps,
                reports: first.reports,
                in_start: first.in_start,
                also,
                consequences,
                activity,
                backtrace: first.backtrace,
                not_restarted: None,
                log_tail: log.tail(),
                log: log.path(),
                outcome: None,
            })));
        }
        if let Some((signal, _)) = self.stopping
            && let Some(steps) = self.members.iter().find_map(|member| member.phase.stopped_at())
        {
            return Err(self.interrupted(signal, Some(steps)));
        }
        if self.resizing && self.members.iter().any(|member| member.phase.stopped_at().is_some()) {
            return Ok(End::Stopped);
        }
        match std::mem::replace(&mut self.members[0].phase, Phase::Failed) {
            Phase::Finished(output) => {
                let (rounds, stood_still) = (self.job.ledger.rounds(), self.stood_still);
                Ok(End::Returned(Ended { output, rounds, stood_still, step_times: self.step_times }))
            }
            phase => Err(Error::channel(format!("rank 0 is gone while {phase:?}"))),
        }
    }
}

pub(super) fn seen(rank: usize, failure: Failure, in_start: bool) -> Seen {
    let Failure { message, location, backtrace, of_a_peer: peer_failure, reports } = failure;
    let kind = match location {
        Some(location) => FailureKind::Panic { message, location },
        None => FailureKind::Error(message),
    };
    Seen { rank, kind, peer_failure, reports, in_start, backtrace }
}

impl From<Ending> for FailureKind {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::CutOff => Self::CutOff,
            Ending::Status(status) => match status.signal() {
                Some(signal) => Self::Signal(signal),
                None => Self::Exit(status.code().unwrap_or(-1)),
            },
        }
    }
}
