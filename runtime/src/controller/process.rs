//! A worker's process: a child of the driver, or one that an engine has started.

use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, ExitStatus};

use mio::unix::SourceFd;
use mio::unix::pipe::Receiver;
use mio::{Interest, Registry};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::wakeups::Source;
use crate::error::{Error, Result};
use crate::log::Stream;

/// One worker's process.
pub(super) enum Process {
    Child(ChildProcess),
    /// An engine's, perhaps on another machine: all that is known of it is its channel, and what it prints goes to the engine.
    Remote {
        /// Its channel has ended, or was closed.
        cut_off: bool,
    },
}

/// A process that the driver has started.
pub(super) struct ChildProcess {
    child: Child,
    pidfd: OwnedFd,
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Status(ExitStatus),
    /// Its channel has ended: the process has, or its machine, or the way there.
    CutOff,
}

impl Process {
    /// Watches a child that was started as `rank`.
    pub(super) fn child(rank: usize, mut child: Child, registry: &Registry) -> Result<Self> {
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
            Ok((pidfd, stdout, stderr)) => Ok(Self::Child(ChildProcess { child, pidfd, stdout, stderr })),
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

    /// The pipe of what it prints, while it is open.
    pub(super) fn output(&mut self, stream: Stream) -> Option<&mut Option<Receiver>> {
        match (self, stream) {
            (Self::Child(process), Stream::Stdout) => Some(&mut process.stdout),
            (Self::Child(process), Stream::Stderr) => Some(&mut process.stderr),
            (Self::Remote { .. }, _) => None,
        }
    }

    /// How it has ended, if it has; then also what it left behind in its process group is ended.
    pub(super) fn reap(&mut self) -> std::io::Result<Option<Ending>> {
        match self {
            // While the process is not waited for, no other can take its number.
            Self::Child(ChildProcess { child, pidfd, .. }) if has_ended(pidfd) => {
                kill_group(child);
                child.wait().map(|status| Some(Ending::Status(status)))
            }
            Self::Remote { cut_off: true } => Ok(Some(Ending::CutOff)),
            Self::Child(_) | Self::Remote { .. } => Ok(None),
        }
    }

    /// Ends it and all that it started; one of an engine's when it sees that its channel is closed, which is the caller's
    /// to do.
    pub(super) fn kill(&mut self) {
        match self {
            Self::Child(process) => kill_group(&process.child),
            Self::Remote { cut_off } => *cut_off = true,
        }
    }

    /// Waits until it has ended.
    pub(super) fn wait(&mut self) -> std::io::Result<Ending> {
        match self {
            Self::Child(process) => process.child.wait().map(Ending::Status),
            Self::Remote { cut_off: true } => Ok(Ending::CutOff),
            Self::Remote { cut_off: false } => Err(ErrorKind::Unsupported.into()),
        }
    }
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
