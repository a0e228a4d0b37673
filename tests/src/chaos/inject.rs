//! How a fault comes to a run: from outside, but for the disk, which the process itself is told to find full.

use std::fs;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open, pidfd_send_signal};

use super::Result;

/// How long a slow rank stands still at a time, and how long it then runs.
const STILL: Duration = Duration::from_millis(200);
const RUNS: Duration = Duration::from_millis(50);

/// A rank's process: no other gets its number while this is held.
pub struct Process {
    pid: u32,
    pidfd: OwnedFd,
}

impl Process {
    /// That of this number.
    ///
    /// # Errors
    /// Where there is none.
    pub fn open(pid: u32) -> Result<Self> {
        let number = Pid::from_raw(pid as i32).ok_or("a rank's process has no number")?;
        Ok(Self { pid, pidfd: pidfd_open(number, PidfdFlags::empty())? })
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            // It has ended by itself a moment ago; the caller sees what follows from that.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Stops it and lets it go on again and again for so long.
    pub(super) fn slow_down(&self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.signal(Signal::STOP)?;
            thread::sleep(STILL);
            self.signal(Signal::CONT)?;
            thread::sleep(RUNS);
        }
        Ok(())
    }

    /// Shuts its connection to the driver down, as if the process itself did.
    ///
    /// # Errors
    /// Where it has none, or another process may not take part in it.
    pub fn shut_channel(&self, how: Shutdown) -> Result<()> {
        for entry in fs::read_dir(format!("/proc/{}/fd", self.pid))? {
            let Ok(entry) = entry else { continue };
            let target = fs::read_link(entry.path()).unwrap_or_default();
            if !target.to_string_lossy().starts_with("socket:") {
                continue;
            }
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let copy = pidfd_getfd(&self.pidfd, number, PidfdGetfdFlags::empty()).map_err(|error| {
                format!("cannot take a copy of the rank's socket: {error}; a container may forbid `pidfd_getfd`")
            })?;
            // Those of the process group are TCP, and have no such address.
            let socket = UnixStream::from(copy);
            if socket.peer_addr().is_ok_and(|peer| is_driver(&peer)) {
                return Ok(socket.shutdown(how)?);
            }
        }
        Err("a rank has no connection to its driver".into())
    }
}

fn is_driver(address: &SocketAddr) -> bool {
    address.as_abstract_name().is_some_and(|name| name.starts_with(b"trainloop-"))
}

/// How often a fault has happened at that point, as the run's processes have noted.
pub(super) fn noted(log: &Path, point: &str) -> usize {
    let log = fs::read_to_string(log).unwrap_or_default();
    log.lines().filter(|line| line.split(' ').next() == Some(point)).count()
}
