//! One generation of workers, from their start to their end: the loop over everything that can happen.

mod failing;
mod job;
mod stopping;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

pub(crate) use job::{End, Ended, Job, Milestone};

use super::door::Door;
use super::failure::{FailureKind, Place, Seen};
use super::ledger::Saved;
use super::member::{Member, Phase};
use super::open_files::allow_open_files;
use super::output::RankLog;
use super::process::Process;
use super::records::record;
use super::signals::Signals;
use super::slots::{Elastic, SlotsWatch};
use super::tally::Tally;
use super::wakeups::Source;
use crate::channel::{Start, StoreAt, ToController, ToWorker, write_frame};
use crate::error::{Error, Result, with_causes};
use crate::launch::meeting::MeetingFile;
use crate::launch::{Ear, Host, Listening, LocalLauncher, Placement, Spares};
use crate::log::Stream;
use crate::worker::StepTimes;

/// So many events are taken at once.
const EVENTS: usize = 1024;

/// Starts the workers and stays with them until the last has ended.
pub(crate) fn run(job: Job<'_>) -> Result<End> {
    let mut group = Group::start(job)?;
    let result = group.serve();
    // Whatever has happened, no process is left behind.
    group.end();
    result
}

/// [`run`], of ranks that another process plays: `invite` is given the way to the door, and `on_failure` each rank that fails, once
/// that is seen.
#[cfg(feature = "simulation")]
pub(crate) fn simulate(
    job: Job<'_>,
    invite: impl FnOnce(crate::launch::Invitation) -> Result<()>,
    mut on_failure: impl FnMut(usize),
) -> Result<End> {
    let mut group = Group::start(job)?;
    invite(group.door.invite(0))?;
    let mut events = Events::with_capacity(EVENTS);
    while !group.tally.all_gone() {
        let seen = group.failures.len();
        group.turn(&mut events)?;
        group.failures[seen..].iter().for_each(|failure| on_failure(failure.rank));
    }
    group.outcome()
}

struct Group<'a> {
    job: Job<'a>,
    /// Where an engine has started the ranks.
    placement: Option<Placement>,
    /// What leads them here.
    _meeting: Option<MeetingFile>,
    poll: Poll,
    door: Door,
    signals: Signals,
    members: Vec<Member>,
    tally: Tally,
    /// Sources of which only a share was read: no event will tell of the rest.
    unread: BTreeSet<Source>,
    failures: Vec<Seen>,
    /// The ranks that these are of.
    failed: BTreeSet<usize>,
    /// Ranks that the controller ended while they ran.
    still_ran: Vec<Place>,
    ending: bool,
    /// When the group is to be ended.
    end_at: Option<Instant>,
    start_by: Instant,
    /// When some rank may have been silent for too long. Whatever a rank says makes that later, so nobody is asked before.
    look_at: Option<Instant>,
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
    fn start(mut job: Job<'a>) -> Result<Self> {
        let failed = |error: std::io::Error| Error::channel(format!("cannot listen for workers: {error}"));
        let poll = Poll::new().map_err(failed)?;
        let world_size = job.start.world_size;
        let (listening, placement, meeting) = match job.host.take() {
            Some(Host { listening, placement, meeting }) => (listening, Some(placement), meeting),
            None => (Listening::here()?, None, None),
        };
        let door = Door::open(listening, poll.registry(), world_size)?;
        let signals = Signals::register(poll.registry()).map_err(failed)?;
        let watch = |elastic: &Elastic<'_>| SlotsWatch::register(elastic.file, poll.registry());
        let slots = job.elastic.as_ref().map(watch).transpose()?;
        let mut group = Self {
            start_by: Instant::now() + job.start_timeout,
            look_at: None,
            tally: Tally::new(job.start.world_size),
            job,
            placement,
            _meeting: meeting,
            poll,
            door,
            signals,
            members: Vec::new(),
            unread: BTreeSet::new(),
            failures: Vec::new(),
            failed: BTreeSet::new(),
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
        let children = self.job.children;
        // Of a child its channel, its process, its two streams and its log.
        allow_open_files(world_size + 4 * children)?;
        let here = self.placement.as_ref().map_or(children, |placement| placement.local_world_size);
        let launcher = LocalLauncher::new(here)?;
        for rank in 0..world_size {
            let log = self.job.logs.join(format!("rank-{rank}.log"));
            let member = if rank < children {
                let log = RankLog::create(rank, log)?;
                let invitation = self.door.invite(rank);
                let spare = self.job.spares.take(&launcher, &invitation);
                let child = spare.map_or_else(|| launcher.spawn(&invitation), Ok)?;
                Member::new(rank, Process::child(rank, child, self.poll.registry())?, log)
            } else {
                Member::new(rank, Process::Remote { cut_off: false }, RankLog::elsewhere(rank, log))
            };
            self.members.push(member);
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<End> {
        let mut events = Events::with_capacity(EVENTS);
        while !self.tally.all_gone() {
            self.turn(&mut events)?;
        }
        self.outcome()
    }

    /// Waits for what happens next, and does what follows.
    fn turn(&mut self, events: &mut Events) -> Result<()> {
        let timeout = if self.unread.is_empty() {
            self.deadline().map(|at| at.saturating_duration_since(Instant::now()))
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(Error::channel(format!("cannot wait for the workers: {error}"))),
        }
        // After the new events: those may tell of a failure or a signal.
        let unread = std::mem::take(&mut self.unread);
        for event in &*events {
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
        self.pass_deadlines()
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
                self.listen(rank)?;
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
            Source::Spares => self.tend_spares(Spares::hear),
        }
        Ok(())
    }

    /// Without spares the next generation starts all the same.
    fn tend_spares(&mut self, tend: impl FnOnce(&mut Spares, Ear<'_>) -> Result<Option<String>>) {
        match tend(self.job.spares, Ear { registry: self.poll.registry(), token: Source::Spares.token() }) {
            Ok(Some(note)) => self.job.console.note(&note),
            Ok(None) => {}
            Err(error) => tracing::warn!("{}", with_causes(&error)),
        }
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
        self.unread.insert(source);
    }

    /// A rank goes on to another phase of its life.
    fn enter(&mut self, rank: usize, phase: Phase) {
        let member = &mut self.members[rank];
        self.tally.moves(&member.phase, &phase);
        if matches!(phase, Phase::Finished(_)) {
            self.tally.returns(rank, member.reports);
        }
        member.phase = phase;
        self.await_word(rank);
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
        if rank > 0 && matches!(self.job.start.store, StoreAt::Here { .. }) {
            self.job.console.detail(|| format!("rank {rank} is here, and waits for rank 0"));
            self.enter(rank, Phase::Waiting);
        } else {
            self.begin_to_join(rank)?;
        }
        self.listen(rank)
    }

    /// Tells a rank what it is to do; from now on it beats.
    fn begin_to_join(&mut self, rank: usize) -> Result<()> {
        let mut frame = Vec::new();
        let local_rank = self.placement.as_ref().map_or(rank, |placement| placement.local_rank);
        let start = Start { local_rank, ..self.job.start.clone() };
        write_frame(&mut frame, &ToWorker::Start(Box::new(start)))?;
        let member = &mut self.members[rank];
        member.heard = Instant::now();
        member.send(&frame);
        self.enter(rank, Phase::Joining);
        Ok(())
    }

    /// Rank 0 serves the store, so the others can start.
    fn store_is_served(&mut self, port: u16) -> Result<()> {
        if let StoreAt::Here { host } = &self.job.start.store {
            self.job.start.store = StoreAt::There { host: host.clone(), port };
        }
        for rank in 0..self.members.len() {
            if self.members[rank].phase == Phase::Waiting {
                self.begin_to_join(rank)?;
            }
        }
        Ok(())
    }

    /// Takes what a rank has said.
    fn listen(&mut self, rank: usize) -> Result<()> {
        if self.hear(rank)? {
            self.read_on_later(Source::Channel(rank));
        } else if self.members[rank].is_cut_off() {
            self.bury(rank)?;
        }
        Ok(())
    }

    /// Takes the messages of a rank that have come; true where there may be more.
    fn hear(&mut self, rank: usize) -> Result<bool> {
        let more = self.members[rank].receive();
        if self.members[rank].closed.is_some() {
            self.await_word(rank);
        }
        loop {
            let message = match self.members[rank].next_message() {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(more),
                Err(error) => {
                    let kind = FailureKind::Error(format!("sent a message that cannot be read: {error}"));
                    self.fail_rank(rank, kind);
                    self.enter(rank, Phase::Failed);
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
                self.job.console.detail(|| format!("rank {rank} has joined, and its loop begins"));
                member.reported = Instant::now();
                self.enter(rank, Phase::Running);
                // A rank that died before its loop is not in its start any more, either.
                if !self.tally.any_in_start() && self.failures.is_empty() {
                    (self.job.on_milestone)(Milestone::Running)?;
                    self.look_at_slots()?;
                    let world_size = self.job.start.world_size;
                    self.tend_spares(|spares, ear| spares.begin(world_size, ear));
                }
            }
            ToController::Alive(doing) => member.doing = doing,
            ToController::Report { index, steps, metrics } => {
                member.has_reported(index + 1, steps);
                self.tally.reports(index + 1);
                match self.job.ledger.report(rank, index, metrics) {
                    Ok(Some((index, reduced))) => self.job.reported(index, steps, &reduced),
                    Ok(None) => {}
                    Err(error) => return self.blame(rank, error),
                }
                self.check_for_early_returns();
            }
            ToController::Logged { step, values } => self.job.trackers.log(step, &record(&values)?),
            ToController::Begun(begun) => {
                let steps = begun.steps;
                member.has_reported(begun.reports, steps);
                self.tally.reports(begun.reports);
                if rank == 0 {
                    self.job.trackers.begin_checkpoint(begun.checkpoint)?;
                }
                match self.job.ledger.begin(rank, begun) {
                    Ok(Some((index, reduced))) => self.job.reported(index, steps, &reduced),
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
                self.enter(rank, Phase::Stopped(steps));
                self.check_for_the_end()?;
            }
            ToController::Progress { done, total } => self.job.console.progress(done, total),
            ToController::Finished { output, stood_still, step_times } => {
                if rank == 0 {
                    self.stood_still = stood_still;
                    self.step_times = step_times;
                }
                self.enter(rank, Phase::Finished(output));
                self.check_for_early_returns();
                self.check_for_the_end()?;
            }
            ToController::Failed(failure) => {
                let in_start = member.is_in_start();
                self.enter(rank, Phase::Failed);
                self.fail(failing::seen(rank, failure, in_start));
            }
            ToController::Serves { port } => self.store_is_served(port)?,
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
        for member in &mut self.members {
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
