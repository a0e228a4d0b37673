//! One worker as the controller sees it: its process, its channel, its output.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::time::Instant;

use mio::net::UnixStream;
use mio::unix::SourceFd;
use mio::unix::pipe::Receiver;
use mio::{Interest, Registry};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::activity::RankActivity;
use super::output::RankLog;
use super::wakeups::Source;
use crate::channel::{Decoder, ToController};
use crate::error::{Error, Result};
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
    pub(super) fn stopped_at(&self) -> Option<u64> {
        match self {
            Self::Stopped(steps) => Some(*steps),
            Self::Starting | Self::Joining | Self::Running | Self::Finished(_) | Self::Failed => None,
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
    pub(super) status: Option<ExitStatus>,
    child: Child,
    pidfd: OwnedFd,
    channel: Option<UnixStream>,
    decoder: Decoder,
    outbox: Vec<u8>,
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
}

impl Member {
    pub(super) fn new(rank: usize, mut child: Child, log: RankLog, registry: &Registry) -> Result<Self> {
        let watched = (|| {
            let pidfd = rustix::process::pidfd_open(pid(&child), PidfdFlags::empty())?;
            let source = Source::Process(rank).token();
            registry.register(&mut SourceFd(&pidfd.as_raw_fd()), source, Interest::READABLE)?;
            let mut stdout = child.stdout.take().map(Receiver::from);
            let mut stderr = child.stderr.take().map(Receiver::from);
            for (pipe, source) in [(&mut stdout, Source::Stdout(rank)), (&mut stderr, Source::Stderr(rank))] {
                if let Some(pipe) = pipe {
                    pipe.set_nonblocking(true)?;
                    registry.register(pipe, source.token(), Interest::READABLE)?;
                }
            }
            Ok((pidfd, stdout, stderr))
        })();
        match watched {
            Ok((pidfd, stdout, stderr)) => Ok(Self {
                rank,
                phase: Phase::Starting,
                reports: 0,
                doing: Doing::default(),
                heard: Instant::now(),
                reported: Instant::now(),
                log,
                status: None,
                child,
                pidfd,
                channel: None,
                decoder: Decoder::default(),
                outbox: Vec::new(),
                stdout,
                stderr,
            }),
            Err(error) => {
                kill_group(&child);
                let _ = child.wait();
                let error: std::io::Error = error;
                Err(Error::channel(format!(
                    "cannot watch the process of rank {rank}: {error}; Linux 5.3 or later is needed"
                )))
            }
        }
    }

    /// Nothing but the end of its process is to come.
    pub(super) fn has_ended_well(&self) -> bool {
        matches!(self.phase, Phase::Finished(_) | Phase::Stopped(_))
    }

    /// Its loop has ended, in whatever way.
    pub(super) fn has_said_its_last(&self) -> bool {
        self.has_ended_well() || self.phase == Phase::Failed
    }

    /// It has not yet begun its loop.
    pub(super) fn is_in_start(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Joining)
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
        self.status.is_some()
    }

    /// Takes over the connection on which this rank has said hello; `decoder` may hold more.
    pub(super) fn attach(
        &mut self,
        mut channel: UnixStream,
        decoder: Decoder,
        registry: &Registry,
    ) -> std::io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.reregister(&mut channel, Source::Channel(self.rank).token(), interest)?;
        self.channel = Some(channel);
        self.decoder = decoder;
        self.phase = Phase::Joining;
        self.heard = Instant::now();
        Ok(())
    }

    /// Queues bytes and writes as many as the socket takes now; the rest goes when it is writable.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
        self.flush();
    }

    pub(super) fn flush(&mut self) {
        let Some(channel) = &mut self.channel else { return };
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
        let Some(channel) = &mut self.channel else { return false };
        let take = |bytes: &[u8]| {
            self.heard = Instant::now();
            self.decoder.push(bytes);
        };
        match read_share(channel, take) {
            Share::More => return true,
            Share::All => {}
            Share::Closed => self.channel = None,
        }
        false
    }

    pub(super) fn next_message(&mut self) -> Result<Option<ToController>> {
        self.decoder.next()
    }

    /// Takes a share of what the worker has printed; true where there may be more.
    pub(super) fn read_output(&mut self, stream: Stream, console: &Console) -> bool {
        let pipe = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
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
    pub(super) fn reap(&mut self) -> std::io::Result<Option<ExitStatus>> {
        if self.status.is_some() {
            return Ok(self.status);
        }
        // While the process is not waited for, no other can take its number.
        if has_ended(&self.pidfd) {
            kill_group(&self.child);
            self.status = Some(self.child.wait()?);
        }
        Ok(self.status)
    }

    /// Ends the process and all that it started.
    pub(super) fn kill(&self) {
        if !self.is_gone() {
            kill_group(&self.child);
        }
    }

    /// [`kill`](Self::kill), and waits until it is gone.
    pub(super) fn kill_and_wait(&mut self) {
        if !self.is_gone() {
            kill_group(&self.child);
            self.status = self.child.wait().ok();
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

fn pid(child: &Child) -> Pid {
    // A child's number is positive; process 1 never is one.
    Pid::from_raw(child.id() as i32).unwrap_or(Pid::INIT)
}

fn kill_group(child: &Child) {
    // The worker leads a process group of its own. It is gone already where this fails.
    let _ = rustix::process::kill_process_group(pid(child), Signal::KILL);
}

/// A pidfd is readable once its process has ended.
fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [rustix::event::PollFd::new(pidfd, rustix::event::PollFlags::IN)];
    matches!(rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default())), Ok(1..))
}
