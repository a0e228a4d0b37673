//! One generation of workers, from their start to their end: the loop over everything that can happen.

mod failing;
mod job;
mod stopping;

use std::time::{Duration, Instant};

use mio::{Events, Poll};

pub(crate) use job::{End, Ended, Job, Milestone};

use super::door::Door;
use super::failure::{FailureKind, Place, Seen};
use super::ledger::Saved;
use super::member::{Member, Phase};
use super::output::RankLog;
use super::signals::Signals;
use super::slots::{Elastic, SlotsWatch};
use super::wakeups::Source;
use crate::channel::{Start, ToController, ToWorker, write_frame};
use crate::error::{Error, Result};
use crate::launch::LocalLauncher;
use crate::log::Stream;
use crate::worker::StepTimes;

/// Starts the workers and stays with them until the last has ended.
pub(crate) fn run(job: Job<'_>) -> Result<End> {
    let mut group = Group::start(job)?;
    let result = group.serve();
    // Whatever has happened, no process is left behind.
    group.end();
    result
}

struct Group<'a> {
    job: Job<'a>,
    poll: Poll,
    door: Door,
    signals: Signals,
    members: Vec<Member>,
    /// Sources of which only a share was read: no event will tell of the rest.
    unread: Vec<Source>,
    failures: Vec<Seen>,
    /// Ranks that the controller ended while they ran.
    still_ran: Vec<Place>,
    ending: bool,
    /// When the group is to be ended.
    end_at: Option<Instant>,
    start_by: Instant,
    /// A signal that came, and by when the loops are to have stopped.
    stopping: Option<(i32, Instant)>,
    slots: Option<SlotsWatch>,
    /// The loops were asked to stop so that the group can be resized.
    resizing: bool,
    /// Some loop has come to a place where it can be stopped.
    can_stop: bool,
    /// Since when nothing but the ends of processes is awaited.
    leaving_since: Option<Instant>,
    /// How long rank 0's loop stood still for checkpoints.
    stood_still: Duration,
    /// What rank 0's steps took their time for.
    step_times: StepTimes,
}

impl<'a> Group<'a> {
    fn start(job: Job<'a>) -> Result<Self> {
        let failed = |error: std::io::Error| Error::channel(format!("cannot listen for workers: {error}"));
        let poll = Poll::new().map_err(failed)?;
        let door = Door::open(poll.registry())?;
        let signals = Signals::register(poll.registry()).map_err(failed)?;
        let watch = |elastic: &Elastic<'_>| SlotsWatch::register(elastic.file, poll.registry());
        let slots = job.elastic.as_ref().map(watch).transpose()?;
        let mut group = Self {
            start_by: Instant::now() + job.start_timeout,
            job,
            poll,
            door,
            signals,
            members: Vec::new(),
            unread: Vec::new(),
            failures: Vec::new(),
            still_ran: Vec::new(),
            ending: false,
            end_at: None,
            stopping: None,
            slots,
            resizing: false,
            can_stop: false,
            leaving_since: None,
            stood_still: Duration::ZERO,
            step_times: StepTimes::default(),
        };
        // Where one cannot be started, dropping the group ends the others.
        group.spawn()?;
        Ok(group)
    }

    fn spawn(&mut self) -> Result<()> {
        let world_size = self.job.start.world_size;
        let launcher = LocalLauncher::new(world_size)?;
        for rank in 0..world_size {
            let log = RankLog::create(rank, self.job.logs.join(format!("rank-{rank}.log")))?;
            let child = launcher.spawn(&self.door.invite(rank))?;
            self.members.push(Member::new(rank, child, log, self.poll.registry())?);
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<End> {
        let mut events = Events::with_capacity(256);
        loop {
            if self.members.iter().all(Member::is_gone) {
                return self.outcome();
            }
            let timeout = if self.unread.is_empty() {
                self.deadline().map(|at| at.saturating_duration_since(Instant::now()))
            } else {
                Some(Duration::ZERO)
            };
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::channel(format!("cannot wait for the workers: {error}"))),
            }
            // After the new events: those may tell of a failure or a signal.
            let unread = std::mem::take(&mut self.unread);
            for event in &events {
                if let Some(source) = Source::of(event.token()) {
                    self.wake(source)?;
                } else {
                    tracing::warn!("an event of an unknown source: {event:?}");
                }
            }
            for source in unread {
                self.wake(source)?;
            }
            self.job.ledger.flush()?;
            self.pass_deadlines()?;
        }
    }

    fn wake(&mut self, source: Source) -> Result<()> {
        match source {
            Source::Listener => self.door.accept(self.poll.registry()),
            Source::Signal(signal) => {
                if self.signals.take(signal) {
                    self.interrupt(signal as i32)?;
                }
            }
            Source::Stranger(number) => self.greet(number)?,
            Source::Channel(rank) => {
                self.members[rank].flush();
                if self.hear(rank)? {
                    self.read_on_later(source);
                }
            }
            Source::Stdout(rank) => self.read_output(rank, Stream::Stdout, source),
            Source::Stderr(rank) => self.read_output(rank, Stream::Stderr, source),
            Source::Process(rank) => self.bury(rank)?,
            Source::Slots => {
                if let Some(slots) = &mut self.slots {
                    slots.take();
                }
                self.look_at_slots()?;
            }
        }
        Ok(())
    }

    fn send_all(&mut self, message: &ToWorker) -> Result<()> {
        let mut frame = Vec::new();
        write_frame(&mut frame, message)?;
        for member in &mut self.members {
            member.send(&frame);
        }
        Ok(())
    }

    fn read_output(&mut self, rank: usize, stream: Stream, source: Source) {
        if self.members[rank].read_output(stream, self.job.console) {
            self.read_on_later(source);
        }
    }

    fn read_on_later(&mut self, source: Source) {
        if !self.unread.contains(&source) {
            self.unread.push(source);
        }
    }

    /// A connection that has sent something: a worker takes its seat, anybody else is shown out.
    fn greet(&mut self, number: usize) -> Result<()> {
        let Some(guest) = self.door.greet(number) else { return Ok(()) };
        let rank = guest.rank;
        let Some(member) = self.members.get_mut(rank).filter(|member| member.phase == Phase::Starting) else {
            tracing::warn!("a second connection of rank {rank} was closed");
            return Ok(());
        };
        member
            .attach(guest.stream, guest.decoder, self.poll.registry())
            .map_err(|error| Error::channel(format!("cannot watch the channel of rank {rank}: {error}")))?;
        let mut frame = Vec::new();
        let start = Start { local_rank: rank, ..self.job.start.clone() };
        write_frame(&mut frame, &ToWorker::Start(Box::new(start)))?;
        member.send(&frame);
        if self.hear(rank)? {
            self.read_on_later(Source::Channel(rank));
        }
        Ok(())
    }

    /// Takes the messages of a rank that have come; true where there may be more.
    fn hear(&mut self, rank: usize) -> Result<bool> {
        let more = self.members[rank].receive();
        loop {
            let message = match self.members[rank].next_message() {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(more),
                Err(error) => {
                    let kind = FailureKind::Error(format!("sent a message that cannot be read: {error}"));
                    self.fail_rank(rank, kind);
                    self.members[rank].phase = Phase::Failed;
                    return Ok(false);
                }
            };
            self.take(rank, message)?;
        }
    }

    fn take(&mut self, rank: usize, message: ToController) -> Result<()> {
        let member = &mut self.members[rank];
        match message {
            ToController::LoopBegins => {
                member.phase = Phase::Running;
                member.reported = Instant::now();
                if self.members.iter().all(|member| !member.is_in_start()) {
                    (self.job.on_milestone)(Milestone::Running)?;
                    self.look_at_slots()?;
                }
            }
            ToController::Alive(doing) => member.doing = doing,
            ToController::Report { index, steps, metrics } => {
                member.has_reported(index + 1, steps);
                match self.job.ledger.report(rank, index, metrics) {
                    Ok(Some((index, reduced))) => self.job.console.report(index, &reduced),
                    Ok(None) => {}
                    Err(error) => return self.blame(rank, error),
                }
                self.check_for_early_returns();
            }
            ToController::Begun(begun) => {
                member.has_reported(begun.reports, begun.steps);
                match self.job.ledger.begin(rank, begun) {
                    Ok(Some((index, reduced))) => self.job.console.report(index, &reduced),
                    Ok(None) => {}
                    Err(error) => return self.blame(rank, error),
                }
                self.check_for_early_returns();
            }
            ToController::Written(written) => match self.job.ledger.hand_in(rank, written) {
                Ok(Some(saved)) => self.saved(saved)?,
                Ok(None) => {}
                Err(error) => return self.blame(rank, error),
            },
            ToController::CanStop => {
                self.can_stop = true;
                self.look_at_slots()?;
            }
            ToController::Stopped { steps } => {
                member.phase = Phase::Stopped(steps);
                self.check_for_the_end()?;
            }
            ToController::Progress { done, total } => self.job.console.progress(done, total),
            ToController::Finished { output, stood_still, step_times } => {
                if rank == 0 {
                    self.stood_still = stood_still;
                    self.step_times = step_times;
                }
                member.phase = Phase::Finished(output);
                self.check_for_early_returns();
                self.check_for_the_end()?;
            }
            ToController::Failed(failure) => {
                let in_start = member.is_in_start();
                member.phase = Phase::Failed;
                self.fail(failing::seen(rank, failure, in_start));
            }
            ToController::Hello(_) => tracing::warn!("rank {rank} said hello twice"),
        }
        Ok(())
    }

    /// Every rank has given its part of a checkpoint.
    fn saved(&mut self, saved: Saved) -> Result<()> {
        let Saved { index, failed, warnings } = saved;
        for warning in warnings {
            self.job.console.warning(&warning);
        }
        // Until now they have waited for the driver.
        for member in &mut self.members {
            member.reported = Instant::now();
        }
        self.send_all(&ToWorker::Saved { checkpoint: index, failed, stop: self.stopping.is_some() || self.resizing })
    }

    fn end(&mut self) {
        for member in &self.members {
            member.kill();
        }
        for member in &mut self.members {
            member.kill_and_wait();
            member.drain_output(self.job.console);
        }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
