//! Workers as child processes on this machine: the current binary, executed again.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::Invitation;
use crate::error::{Error, Result};

/// Starts local workers.
#[derive(Debug)]
pub(crate) struct LocalLauncher {
    binary: PathBuf,
    threads: usize,
}

impl LocalLauncher {
    pub(crate) fn new(workers: usize) -> Result<Self> {
        // Through /proc the running binary itself is executed, even if its file has been replaced by a new build.
        let proc = PathBuf::from("/proc/self/exe");
        let binary = if proc.exists() { proc } else { std::env::current_exe().map_err(Error::other)? };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self { binary, threads: (cores / workers.max(1)).max(1) })
    }

    /// How many threads libtorch has in each worker, unless the environment says otherwise.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Starts a worker, its outputs piped.
    pub(crate) fn spawn(&self, invitation: &Invitation) -> Result<Child> {
        self.execute(&invitation.write(), Stdio::null())
    }

    /// Starts what will be a worker once its invitation is written to the socket, which is its standard input.
    pub(crate) fn spawn_spare(&self) -> Result<(Child, UnixStream)> {
        let (ours, theirs) =
            UnixStream::pair().map_err(|error| Error::channel(format!("cannot make a pair of sockets: {error}")))?;
        let child = self.execute(&Invitation::of_a_spare(std::process::id() as i32), OwnedFd::from(theirs).into())?;
        Ok((child, ours))
    }

    fn execute(&self, invitation: &str, stdin: Stdio) -> Result<Child> {
        let mut command = Command::new(&self.binary);
        // The arguments are the driver's, for whoever looks at the list of processes.
        let mut arguments = std::env::args_os();
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command
            .args(arguments)
            .env(Invitation::VARIABLE, invitation)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C at the terminal reaches the driver alone, which decides, and ending the worker
            // ends what it has started.
            .process_group(0);
        if std::env::var_os("OMP_NUM_THREADS").is_none() {
            // libtorch would take all cores for each worker.
            command.env("OMP_NUM_THREADS", self.threads.to_string());
        }
        command.spawn().map_err(|source| Error::Io { action: "start a worker from", path: self.binary.clone(), source })
    }
}
