//! One worker as the controller sees it: its process, its channel, its output.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::activity::RankActivity;
use super::output::RankLog;
use super::process::{Ending, Process};
use super::wakeups::Source;
use crate::channel::{Decoder, Stream as Channel, ToController};
use crate::error::Result;
use crate::log::{Console, Stream};
use crate::worker::Doing;

/// How many bytes of one worker are taken before the others' events: one that prints or reports without pause must not keep
/// the driver from hearing of a failure or a signal.
const SHARE: usize = 64 * 1024;

/// A pipe holds no more, unless somebody has enlarged it.
const PIPE: usize = 1024 * 1024;

/// Where a rank is in its life.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Started, and not yet heard of.
    Starting,
    /// It has said hello, and is told nothing before rank 0 serves the store; until then it does not beat.
    Waiting,
    /// It takes its place among the others.
    Joining,
    /// Its loop has begun.
    Running,
    /// The loop returned this.
    Finished(Vec<u8>),
    /// It ended as it was asked to, after this many steps.
    Stopped(u64),
    Failed,
}

impl Phase {
    /// Its loop is still to begin.
    pub(super) fn is_start(&self) -> bool {
        matches!(self, Self::Starting | Self::Waiting | Self::Joining)
    }

    /// Its loop is still to end.
    pub(super) fn goes_on(&self) -> bool {
        self.is_start() || *self == Self::Running
    }

    pub(super) fn stopped_at(&self) -> Option<u64> {
        match self {
            Self::Stopped(steps) => Some(*steps),
            Self::Starting | Self::Waiting | Self::Joining | Self::Running | Self::Finished(_) | Self::Failed => None,
        }
    }
}

/// One worker.
pub(super) struct Member {
    pub(super) rank: usize,
    pub(super) phase: Phase,
    pub(super) reports: u64,
    /// What it last did, as it said.
    pub(super) doing: Doing,
    /// When something of it was last heard.
    pub(super) heard: Instant,
    /// When its last report came, or its loop began.
    pub(super) reported: Instant,
    pub(super) log: RankLog,
    /// How the process ended.
    ending: Option<Ending>,
    process: Process,
    channel: Option<Channel>,
    /// Since when a child has been heard to say no more by it.
    pub(super) closed: Option<Instant>,
    decoder: Decoder,
    outbox: Vec<u8>,
}

impl Member {
    pub(super) fn new(rank: usize, process: Process, log: RankLog) -> Self {
        Self {
            rank,
            phase: Phase::Starting,
            reports: 0,
            doing: Doing::default(),
            heard: Instant::now(),
            reported: Instant::now(),
            log,
            ending: None,
            process,
            channel: None,
            closed: None,
            decoder: Decoder::default(),
            outbox: Vec::new(),
        }
    }

    /// It has not yet begun its loop.
    pub(super) fn is_in_start(&self) -> bool {
        self.phase.is_start()
    }

    /// It has made so many reports, at this step.
    pub(super) fn has_reported(&mut self, reports: u64, steps: u64) {
        self.reports = reports;
        self.reported = Instant::now();
        self.doing.reports = reports;
        self.doing.steps = steps;
    }

    /// What it last did.
    pub(super) fn activity(&self) -> RankActivity {
        RankActivity::new(self.rank, self.doing, matches!(self.phase, Phase::Finished(_)))
    }

    pub(super) fn is_gone(&self) -> bool {
        self.ending.is_some()
    }

    /// Its process is an engine's, and its channel has ended: nothing more will be heard of it.
    pub(super) fn is_cut_off(&self) -> bool {
        matches!(self.process, Process::Remote { cut_off: true })
    }

    /// Takes over the connection of a guest that is this rank; `decoder` may hold more than the introduction.
    pub(super) fn attach(&mut self, channel: Channel, decoder: Decoder, registry: &Registry) -> std::io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let source = Source::Channel(self.rank).token();
        registry.reregister(&mut SourceFd(&channel.as_raw_fd()), source, interest)?;
        self.channel = Some(channel);
        self.decoder = decoder;
        self.heard = Instant::now();
        Ok(())
    }

    /// Queues bytes and writes as many as the socket takes now; the rest goes when it is writable.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
        self.flush();
    }

    pub(super) fn flush(&mut self) {
        let Some(mut channel) = self.channel.as_ref() else { return };
        while !self.outbox.is_empty() {
            match channel.write(&self.outbox) {
                Ok(written) => drop(self.outbox.drain(..written)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Full: an event will come. Closed: the process's end will.
                Err(_) => return,
            }
        }
    }

    /// Reads a share of what the channel has, for [`next_message`](Self::next_message); true where there may be more.
    pub(super) fn receive(&mut self) -> bool {
        let Some(mut channel) = self.channel.as_ref() else { return false };
        let take = |bytes: &[u8]| {
            self.heard = Instant::now();
            self.decoder.push(bytes);
        };
        match read_share(&mut channel, take) {
            Share::More => return true,
            Share::All => {}
            Share::Closed => match &mut self.process {
                // It may live on; and it would end at once if this end were closed, too, and nobody would know why.
                Process::Child(_) => drop(self.closed.get_or_insert_with(Instant::now)),
                Process::Remote { cut_off } => {
                    *cut_off = true;
                    self.channel = None;
                }
            },
        }
        false
    }

    pub(super) fn next_message(&mut self) -> Result<Option<ToController>> {
        self.decoder.next()
    }

    /// Takes a share of what the worker has printed; true where there may be more.
    pub(super) fn read_output(&mut self, stream: Stream, console: &Console) -> bool {
        let Some(pipe) = self.process.output(stream) else { return false };
        let Some(reader) = pipe else { return false };
        match read_share(reader, |bytes| self.log.take(stream, bytes, console)) {
            Share::More => return true,
            Share::All => {}
            Share::Closed => {
                *pipe = None;
                self.log.end(stream, console);
            }
        }
        false
    }

    /// After the process's end: whatever is left in its pipes, which somebody who escaped may still fill.
    pub(super) fn drain_output(&mut self, console: &Console) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            for _ in 0..=PIPE / SHARE {
                if !self.read_output(stream, console) {
                    break;
                }
            }
            self.log.end(stream, console);
        }
    }

    /// Sees whether the process has ended, and ends what it left behind in its process group.
    pub(super) fn reap(&mut self) -> std::io::Result<Option<Ending>> {
        if self.ending.is_none() {
            self.ending = self.process.reap()?;
        }
        Ok(self.ending)
    }

    /// Ends the process and all that it started.
    pub(super) fn kill(&mut self) {
        if !self.is_gone() {
            self.process.kill();
            if matches!(self.process, Process::Remote { .. }) {
                self.channel = None;
            }
        }
    }

    /// [`kill`](Self::kill), and waits until it is gone.
    pub(super) fn kill_and_wait(&mut self) {
        if !self.is_gone() {
            self.kill();
            self.ending = self.process.wait().ok();
        }
    }
}

/// How much of what there was to read was read.
enum Share {
    /// Its share: there may be more, and no event will tell of it.
    More,
    All,
    Closed,
}

fn read_share(reader: &mut impl Read, mut take: impl FnMut(&[u8])) -> Share {
    let mut buffer = [0; 16 * 1024];
    let mut taken = 0;
    while taken < SHARE {
        match reader.read(&mut buffer) {
            Ok(0) => return Share::Closed,
            Ok(read) => {
                take(&buffer[..read]);
                taken += read;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Share::All,
            Err(_) => return Share::Closed,
        }
    }
    Share::More
}
