//! What a group does when its time is up: the loops that are asked to stop, and everything that is waited for only so long.

use std::time::{Duration, Instant};

use super::{Group, Milestone};
use crate::channel::ToWorker;
use crate::controller::activity::{RankActivity, behind};
use crate::controller::failure::FailureKind;
use crate::controller::member::{Member, Phase};
use crate::error::{Error, Result, with_causes};

/// A rank whose loop has returned may take so long to end.
const LEAVE: Duration = Duration::from_secs(10);
/// A process whose channel has closed is about to end, and its end says how; after so long it is not.
const END: Duration = Duration::from_secs(1);
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
        (self.job.on_milestone)(Milestone::Stopping { signal })?;
        self.send_all(&ToWorker::Stop)
    }

    /// Asks the loops to stop where there is room for another number of workers; once they all run, and can.
    pub(super) fn look_at_slots(&mut self) -> Result<()> {
        let Some(elastic) = &self.job.elastic else { return Ok(()) };
        let is_idle = !self.resizing && self.stopping.is_none() && self.failures.is_empty();
        if !is_idle || !self.can_stop || !self.tally.all_running() {
            return Ok(());
        }
        match (elastic.resize)() {
            Ok(None) => Ok(()),
            Ok(Some(workers)) => {
                self.resizing = true;
                (self.job.on_milestone)(Milestone::Resizing { workers })?;
                self.send_all(&ToWorker::Stop)
            }
            Err(error) => {
                self.job.console.warning(&format!("{}; the group stays as it is", with_causes(&error)));
                Ok(())
            }
        }
    }

    pub(super) fn interrupted(&self, signal: i32, steps: Option<u64>) -> Error {
        crate::__private::note_interrupt(signal);
        Error::Interrupted { steps, signal, run: self.job.run.to_owned(), outcome: None }
    }

    /// The next time at which something is to be done without an event.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let left_by = self.leaving_since.map(|since| since + LEAVE);
        let stopped_by = self.stopping.map(|(_, by)| by);
        // Once a rank has failed, the group is about to be ended whatever else comes.
        let of_ranks = if self.failures.is_empty() { self.ranks_deadline() } else { None };
        [self.end_at, left_by, stopped_by, of_ranks, self.door.deadline()].into_iter().flatten().min()
    }

    /// By when something must have been heard of the ranks.
    fn ranks_deadline(&self) -> Option<Instant> {
        let joined_by = self.tally.any_in_start().then_some(self.start_by);
        [joined_by, self.look_at].into_iter().flatten().min()
    }

    /// From now on something is waited for from this rank, or something else than before.
    pub(super) fn await_word(&mut self, rank: usize) {
        self.look_at = [self.look_at, self.word_by(&self.members[rank])].into_iter().flatten().min();
    }

    /// By when something must have been heard of a rank.
    fn word_by(&self, member: &Member) -> Option<Instant> {
        [self.heard_by(member), self.reported_by(member), ended_by(member)].into_iter().flatten().min()
    }

    fn heard_by(&self, member: &Member) -> Option<Instant> {
        let beats = matches!(member.phase, Phase::Joining | Phase::Running) && member.closed.is_none();
        member.heard.checked_add(self.job.heartbeat_timeout).filter(|_| beats)
    }

    fn reported_by(&self, member: &Member) -> Option<Instant> {
        let reports = member.phase == Phase::Running && member.closed.is_none();
        let timeout = self.job.report_timeout.filter(|_| reports)?;
        member.reported.checked_add(timeout)
    }

    pub(super) fn pass_deadlines(&mut self) -> Result<()> {
        let now = Instant::now();
        self.door.pass_deadline(now, self.poll.registry());
        if self.failures.is_empty() {
            self.look_for_silence(now)?;
        }
        let stuck = !self.ending && self.leaving_since.is_some_and(|since| now >= since + LEAVE);
        // Where each rank has said how it ended, nothing more is to be heard of the cause.
        let all_heard = self.end_at.is_some() && self.tally.all_have_ended();
        if stuck || all_heard || self.end_at.is_some_and(|at| now >= at) {
            self.end_at = None;
            self.ending = true;
            for member in &mut self.members {
                member.kill();
            }
            // A child's end is an event, which is to come.
            for rank in 0..self.members.len() {
                if self.members[rank].is_cut_off() {
                    self.bury(rank)?;
                }
            }
        }
        match self.stopping {
            Some((signal, by)) if now >= by && !self.ending => Err(self.interrupted(signal, None)),
            _ => Ok(()),
        }
    }

    /// Ranks of which too long nothing was heard: no hello, no heartbeat, no report.
    fn look_for_silence(&mut self, now: Instant) -> Result<()> {
        if now >= self.start_by && self.tally.any_in_start() {
            // Those that have said hello wait for those that have not.
            let late = self.members.iter().find(|member| member.phase == Phase::Starting);
            if let Some(rank) =
                late.or_else(|| self.members.iter().find(|member| member.is_in_start())).map(|member| member.rank)
            {
                self.fail_rank(rank, FailureKind::NotStarted);
                return Ok(());
            }
        }
        if self.look_at.is_none_or(|at| now < at) {
            return Ok(());
        }
        let is_due = |member: &Member| self.word_by(member).is_some_and(|by| now >= by);
        if self.members.iter().any(is_due) {
            // Where the driver itself was busy, in a callback, say, what was said meanwhile is still to be heard, and a process
            // that has ended to be seen.
            for rank in 0..self.members.len() {
                self.listen(rank)?;
                self.bury(rank)?;
            }
        }
        if !self.failures.is_empty() {
            return Ok(());
        }
        if let Some(rank) = self.members.iter().find(|member| lives_on(member, now)).map(|member| member.rank) {
            self.fail_rank(rank, FailureKind::ChannelClosed);
            return Ok(());
        }
        let silent = self.members.iter().find(|member| self.is_silent(member, now)).map(|member| member.rank);
        let late = self.members.iter().find(|member| self.is_late(member, now)).map(|member| member.rank);
        if let Some(rank) = silent {
            self.fail_rank(rank, FailureKind::Silent(self.job.heartbeat_timeout));
        } else if let (Some(first), Some(timeout)) = (late, self.job.report_timeout) {
            // It may be late because it waits for one that has reported since.
            let activity: Vec<RankActivity> = self.members.iter().map(Member::activity).collect();
            self.fail_rank(behind(&activity).unwrap_or(first), FailureKind::Late(timeout));
        }
        self.look_at = self.members.iter().filter_map(|member| self.word_by(member)).min();
        Ok(())
    }

    fn is_silent(&self, member: &Member, now: Instant) -> bool {
        self.heard_by(member).is_some_and(|by| now >= by)
    }

    fn is_late(&self, member: &Member, now: Instant) -> bool {
        self.reported_by(member).is_some_and(|by| now >= by)
    }
}

/// By when a process without a channel must have ended, of a loop that has not.
fn ended_by(member: &Member) -> Option<Instant> {
    member.closed.filter(|_| member.phase.goes_on())?.checked_add(END)
}

fn lives_on(member: &Member, now: Instant) -> bool {
    ended_by(member).is_some_and(|by| now >= by)
}
