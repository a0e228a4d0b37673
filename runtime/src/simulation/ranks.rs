//! The ranks' side of a plan: many connections on one poll, each of which says what a worker says.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream as StdStream};
use std::time::{Duration, Instant, SystemTime};

use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token};
use trainloop_checkpoint::{Checkpoints, FileEntry};

use super::Plan;
use crate::channel::{
    Begun, Decoder, Stream, ToController, ToWorker, Written, encode, handshake, read_frame, write_frame,
};
use crate::controller::allow_open_files;
use crate::error::{Error, Result};
use crate::launch::Invitation;
use crate::metric::Metrics;
use crate::worker::{Doing, StepTimes};

/// As workers beat unless a run says otherwise.
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// A rank that is to die does so with this heartbeat after its last checkpoint.
const LAST_BEAT: u64 = 2;

/// Does what the plan says of these ranks, whose metrics are those that `metrics` makes of a rank and the number of a report,
/// until the last has gone. Gives when the one that was to die did, if it was among them.
///
/// # Errors
/// Where the controller does anything else than the plan's.
pub fn ranks<M: Metrics>(
    plan: &Plan,
    these: Range<usize>,
    invitation: &str,
    metrics: impl Fn(usize, u64) -> M,
) -> Result<Option<SystemTime>> {
    allow_open_files(these.len())?;
    let files = stage(plan, these.clone())?;
    let metrics = |rank, report| metrics(rank, report).encode("write the metrics of a report");
    let mut crowd = Crowd::join(plan, these, &Invitation::read(invitation)?, files, metrics)?;
    crowd.live()?;
    Ok(crowd.died)
}

/// Writes these ranks' parts of every checkpoint, and gives what each rank says of its file. Real ranks flush theirs, which is
/// no work of the controller's.
fn stage(plan: &Plan, these: Range<usize>) -> Result<Vec<FileEntry>> {
    const PART: &[u8] = &[7; 64];
    let checkpoints = Checkpoints::in_folder(&plan.run);
    let mut entries = Vec::new();
    for index in 0..=plan.checkpoints.get() {
        let staging = checkpoints.stage(index)?;
        let first =
            staging.write_file(&name(these.start), these.start, |file| Ok::<_, Error>(file.write_all(PART)?))?;
        let folder = plan.run.join(format!("checkpoints/.staging-{index}"));
        for rank in these.clone().skip(1) {
            std::fs::write(folder.join(name(rank)), PART)?;
        }
        let entry = |rank| FileEntry { path: name(rank), rank, ..first.clone() };
        entries = these.clone().map(entry).collect();
    }
    Ok(entries)
}

fn name(rank: usize) -> String {
    format!("rank-{rank}")
}

struct Crowd<'a, F> {
    plan: &'a Plan,
    metrics: F,
    poll: Poll,
    ranks: Vec<Rank>,
    /// Those that may have something to say, by their place in `ranks`; each once.
    ready: VecDeque<usize>,
    /// How many have not gone.
    alive: usize,
    began: Instant,
    /// How many heartbeats all of them together have made; they take turns, so that each makes one in every [`BEAT`].
    beats: u64,
    died: Option<SystemTime>,
}

struct Rank {
    number: usize,
    /// `None` once it has gone.
    stream: Option<UnixStream>,
    decoder: Decoder,
    /// What the socket has not yet taken.
    outbox: Vec<u8>,
    is_ready: bool,
    place: Place,
    reports: u64,
    file: FileEntry,
}

/// Where a rank is in its plan.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Reporting,
    /// It has given its part of this checkpoint.
    Waiting(u64),
    /// Its checkpoints are made, and so many heartbeats since; one rank is to die.
    Staying(u64),
    Returned,
}

impl<'a, F: Fn(usize, u64) -> Result<Vec<u8>>> Crowd<'a, F> {
    fn join(
        plan: &'a Plan,
        these: Range<usize>,
        invitation: &Invitation,
        files: Vec<FileEntry>,
        metrics: F,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        let mut ranks = Vec::new();
        for (place, (number, file)) in these.zip(files).enumerate() {
            let stream = connect(invitation, number)?;
            stream.set_nonblocking(true)?;
            let mut stream = UnixStream::from_std(stream);
            poll.registry().register(&mut stream, Token(place), Interest::READABLE | Interest::WRITABLE)?;
            let mut rank = Rank {
                number,
                stream: Some(stream),
                decoder: Decoder::default(),
                outbox: Vec::new(),
                is_ready: false,
                place: Place::Waiting(0),
                reports: 0,
                file,
            };
            rank.say(&ToController::Alive(rank.doing()))?;
            rank.say(&ToController::LoopBegins)?;
            rank.vote(0)?;
            rank.flush();
            ranks.push(rank);
        }
        let alive = ranks.len();
        Ok(Self {
            plan,
            metrics,
            poll,
            ranks,
            ready: VecDeque::new(),
            alive,
            began: Instant::now(),
            beats: 0,
            died: None,
        })
    }

    fn live(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        while self.alive > 0 {
            let beat = if self.ready.is_empty() { self.next_beat() } else { Instant::now() };
            let wait = beat.saturating_duration_since(Instant::now());
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                let place = event.token().0;
                if event.is_readable() {
                    self.hear(place)?;
                }
                self.make_ready(place);
            }
            while self.next_beat() <= Instant::now() {
                self.beat()?;
            }
            // One word of each, then the next of each, as ranks do that train together.
            for _ in 0..self.ready.len() {
                let Some(place) = self.ready.pop_front() else { break };
                self.ranks[place].is_ready = false;
                let rank = &mut self.ranks[place];
                if rank.speak(self.plan, &self.metrics)? {
                    self.make_ready(place);
                } else if rank.place == Place::Returned && rank.outbox.is_empty() && rank.stream.take().is_some() {
                    // As a worker's process ends with its last word.
                    self.alive -= 1;
                }
            }
        }
        Ok(())
    }

    fn make_ready(&mut self, place: usize) {
        if !std::mem::replace(&mut self.ranks[place].is_ready, true) {
            self.ready.push_back(place);
        }
    }

    fn next_beat(&self) -> Instant {
        self.began + BEAT.mul_f64((self.beats + 1) as f64 / self.ranks.len() as f64)
    }

    /// The next rank's heartbeat; where one is to die, also a report of those that stay, or the end of that one.
    fn beat(&mut self) -> Result<()> {
        let place = (self.beats % self.ranks.len() as u64) as usize;
        self.beats += 1;
        let rank = &mut self.ranks[place];
        // What fills the channel tells the driver as much.
        if rank.stream.is_none() || !rank.outbox.is_empty() {
            return Ok(());
        }
        rank.say(&ToController::Alive(rank.doing()))?;
        if let Place::Staying(beats) = rank.place {
            rank.place = Place::Staying(beats + 1);
            if beats == LAST_BEAT && self.plan.dies == Some(rank.number) {
                self.died = Some(SystemTime::now());
                rank.stream = None;
                self.alive -= 1;
                return Ok(());
            }
            rank.report((self.metrics)(rank.number, rank.reports)?)?;
        }
        rank.flush();
        Ok(())
    }

    /// Takes what the controller has said to a rank.
    fn hear(&mut self, place: usize) -> Result<()> {
        let rank = &mut self.ranks[place];
        let open = rank.receive();
        while let Some(message) = rank.decoder.next()? {
            match message {
                ToWorker::Saved { checkpoint, failed: None, .. } if rank.place == Place::Waiting(checkpoint) => {
                    rank.go_on(checkpoint, self.plan)?;
                }
                other => return Err(Error::other(format!("rank {} was told {other:?}", rank.number))),
            }
        }
        if !open && rank.stream.take().is_some() {
            self.alive -= 1;
            if !matches!(rank.place, Place::Staying(_)) {
                return Err(Error::other(format!("rank {} was cut off", rank.number)));
            }
        }
        Ok(())
    }
}

impl Rank {
    fn doing(&self) -> Doing {
        Doing { steps: self.reports, reports: self.reports, ..Doing::default() }
    }

    fn say(&mut self, message: &ToController) -> Result<()> {
        write_frame(&mut self.outbox, message)
    }

    fn report(&mut self, metrics: Vec<u8>) -> Result<()> {
        self.say(&ToController::Report { index: self.reports, steps: self.reports, metrics })?;
        self.reports += 1;
        Ok(())
    }

    /// Comes to a checkpoint, and gives its part of it.
    fn vote(&mut self, checkpoint: u64) -> Result<()> {
        self.place = Place::Waiting(checkpoint);
        self.say(&ToController::Begun(Begun { checkpoint, report: None, reports: self.reports, steps: self.reports }))?;
        self.say(&ToController::Written(Written { checkpoint, files: Ok(vec![self.file.clone()]) }))
    }

    /// A checkpoint is committed.
    fn go_on(&mut self, checkpoint: u64, plan: &Plan) -> Result<()> {
        if checkpoint == 0 {
            self.place = Place::Reporting;
        } else if checkpoint < plan.checkpoints.get() {
            self.vote(checkpoint + 1)?;
        } else if plan.dies.is_some() {
            self.place = Place::Staying(0);
        } else {
            self.place = Place::Returned;
            let step_times = StepTimes::default();
            let output = encode(&(), "write")?;
            self.say(&ToController::Finished { output, stood_still: Duration::ZERO, step_times })?;
        }
        Ok(())
    }

    /// Says the next thing that the plan has for it, if the socket takes it; true where there may be more.
    fn speak(&mut self, plan: &Plan, metrics: &impl Fn(usize, u64) -> Result<Vec<u8>>) -> Result<bool> {
        self.flush();
        if self.place != Place::Reporting || !self.outbox.is_empty() {
            return Ok(false);
        }
        if self.reports < plan.reports {
            self.report(metrics(self.number, self.reports)?)?;
        } else {
            self.vote(1)?;
        }
        self.flush();
        Ok(self.outbox.is_empty())
    }

    /// Writes what the socket takes.
    fn flush(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        while !self.outbox.is_empty() {
            match stream.write(&self.outbox) {
                Ok(written) => drop(self.outbox.drain(..written)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Full: an event will come. Closed: so will that.
                Err(_) => return,
            }
        }
    }

    /// Reads what there is; false where the controller has closed the channel.
    fn receive(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut buffer = [0; 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(read) => self.decoder.push(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
    }
}

/// Comes in as a worker does, and takes its start.
fn connect(invitation: &Invitation, rank: usize) -> Result<StdStream> {
    let stream = StdStream::connect_addr(&SocketAddr::from_abstract_name(&invitation.socket)?)?;
    let channel = Stream::Unix(stream.try_clone()?);
    let known = handshake::introduce(&channel, &invitation.token, rank)?;
    match known.then(|| read_frame(&channel)).transpose()?.flatten() {
        Some(ToWorker::Start(_)) => Ok(stream),
        _ => Err(Error::other(format!("rank {rank} was not let in"))),
    }
}
