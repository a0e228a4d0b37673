//! What a group does when a rank fails, and what it says of it in the end.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::{Ended, Group};
use crate::channel::Failure;
use crate::controller::failure::{FailureKind, Place, RunFailure, Seen, cause};
use crate::controller::member::{Member, Phase};
use crate::error::{Error, Result};

/// Ranks that fail within this time of the first are heard before the group is ended: the cause may be among them.
const SETTLE: Duration = Duration::from_millis(50);
/// Where only consequences have been seen, the cause is waited for so long.
const SETTLE_FOR_CAUSE: Duration = Duration::from_secs(1);

impl Group<'_> {
    /// A rank has done what the others cannot follow.
    pub(super) fn blame(&mut self, rank: usize, error: Error) -> Result<()> {
        // A disk that is full, say, is nobody's mistake.
        let Error::Checkpoint(message) = error else { return Err(error) };
        let reports = self.members[rank].reports;
        self.fail(Seen { rank, kind: FailureKind::Error(message), peer_failure: false, reports });
        Ok(())
    }

    /// A rank that returned can never make the reports that another has already made.
    pub(super) fn check_for_early_returns(&mut self) {
        let most = self.members.iter().map(|member| member.reports).max().unwrap_or(0);
        let early =
            self.members.iter().find(|member| matches!(member.phase, Phase::Finished(_)) && member.reports < most);
        if let Some(&Member { rank, reports, .. }) = early {
            self.fail(Seen { rank, kind: FailureKind::ReturnedEarly, peer_failure: false, reports });
        }
    }

    /// A process has ended.
    pub(super) fn bury(&mut self, rank: usize) -> Result<()> {
        let status = self.members[rank]
            .reap()
            .map_err(|error| Error::channel(format!("cannot wait for rank {rank}: {error}")))?;
        let Some(status) = status else { return Ok(()) };
        // What it said before its end counts.
        while self.hear(rank)? {}
        let member = &mut self.members[rank];
        member.drain_output(self.job.console);
        if matches!(member.phase, Phase::Starting | Phase::Running) {
            member.phase = Phase::Failed;
            let reports = member.reports;
            let kind = ending(status);
            if self.ending && kind == FailureKind::Signal(9) {
                self.still_ran.push((rank, reports));
            } else {
                self.fail(Seen { rank, kind, peer_failure: false, reports });
            }
        }
        Ok(())
    }

    pub(super) fn fail(&mut self, failure: Seen) {
        if self.failures.iter().any(|seen| seen.rank == failure.rank) {
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
    pub(super) fn outcome(&mut self) -> Result<Ended> {
        self.job.ledger.flush()?;
        let returned: Vec<Place> = self
            .members
            .iter()
            .filter(|member| matches!(member.phase, Phase::Finished(_)))
            .map(|member| (member.rank, member.reports))
            .collect();
        if let Some(first) = cause(&self.failures, &returned, &self.still_ran) {
            let consequences = self.failures.iter().filter(|seen| seen.peer_failure && seen.rank != first.rank);
            let mut consequences: Vec<usize> = consequences.map(|seen| seen.rank).collect();
            consequences.sort_unstable();
            let log = &self.members[first.rank].log;
            return Err(Error::Run(Box::new(RunFailure {
                rank: first.rank,
                kind: first.kind,
                reports: first.reports,
                consequences,
                log_tail: log.tail(),
                log: log.path(),
            })));
        }
        if let Some((signal, _)) = self.stopping
            && let Some(steps) = self.members.iter().find_map(|member| member.phase.stopped_at())
        {
            return Err(self.interrupted(signal, Some(steps)));
        }
        match std::mem::replace(&mut self.members[0].phase, Phase::Failed) {
            Phase::Finished(output) => {
                Ok(Ended { output, rounds: self.job.ledger.rounds(), stood_still: self.stood_still })
            }
            phase => Err(Error::channel(format!("rank 0 is gone while {phase:?}"))),
        }
    }
}

pub(super) fn seen(rank: usize, failure: Failure) -> Seen {
    let Failure { message, location, of_a_peer: peer_failure, reports } = failure;
    let kind = match location {
        Some(location) => FailureKind::Panic { message, location },
        None => FailureKind::Error(message),
    };
    Seen { rank, kind, peer_failure, reports }
}

fn ending(status: ExitStatus) -> FailureKind {
    match status.signal() {
        Some(signal) => FailureKind::Signal(signal),
        None => FailureKind::Exit(status.code().unwrap_or(-1)),
    }
}
