//! Processes that wait to become workers of the next generation: loaded and warm, and in no group.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Child;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::{Invitation, LocalLauncher, memory};
use crate::error::{Error, Result};

/// All spares together take at most this part of the memory that is free: the loops have just begun, and what they will need
/// is not known.
const PART_OF_MEMORY: u64 = 8;

/// The spares of one `fit`, which outlive a generation; dropping this ends them.
#[derive(Default)]
pub(crate) struct Spares {
    /// Another generation may come.
    allowed: bool,
    /// How many there are to be.
    wanted: usize,
    /// Oldest first. All but the last are warm.
    waiting: VecDeque<Spare>,
    /// What one costs, once one is warm.
    bytes: Option<u64>,
    noted: bool,
}

struct Spare {
    child: Child,
    /// Its standard input is the other end.
    line: UnixStream,
    threads: usize,
    is_warm: bool,
}

/// Where the poll hears of spares.
#[derive(Clone, Copy)]
pub(crate) struct Ear<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) token: Token,
}

impl Spares {
    /// Whether the generation that starts next may be followed by another.
    pub(crate) fn allow(&mut self, allowed: bool) {
        self.allowed = allowed;
    }

    /// A spare that becomes the worker of this invitation; `None` where there is none that lives.
    pub(crate) fn take(&mut self, launcher: &LocalLauncher, invitation: &Invitation) -> Option<Child> {
        while let Some(spare) = self.waiting.pop_front() {
            match spare.invite(launcher, invitation) {
                Ok(child) => return Some(child),
                Err(why) => tracing::debug!("a spare process is not used: {why}"),
            }
        }
        None
    }

    /// The loops of so many workers have begun: starts the first spare. The others follow one after the other, so that the
    /// loops keep the rest of the cores.
    pub(crate) fn begin(&mut self, workers: usize, ear: Ear<'_>) -> Result<Option<String>> {
        self.wanted = if self.allowed { workers } else { 0 };
        while self.waiting.len() > self.wanted {
            self.waiting.pop_back().into_iter().for_each(Spare::end);
        }
        // Left by a generation that was short.
        if let Some(spare) = self.waiting.back().filter(|spare| !spare.is_warm) {
            spare.watch(ear)?;
        }
        self.start_next(ear)
    }

    /// To be called when the ear has heard something: a spare is warm. Gives a note for the user once all are.
    pub(crate) fn hear(&mut self, ear: Ear<'_>) -> Result<Option<String>> {
        let Some(mut spare) = self.waiting.pop_back() else { return Ok(None) };
        match spare.hear() {
            Ok(()) => {
                if spare.is_warm {
                    self.bytes = memory::of_process(spare.child.id()).or(self.bytes);
                }
                self.waiting.push_back(spare);
                self.start_next(ear)
            }
            Err(error) => {
                spare.end();
                // Another one would fare no better.
                self.wanted = self.waiting.len();
                Err(Error::channel(format!("a spare process has ended, and is not replaced: {error}")))
            }
        }
    }

    fn start_next(&mut self, ear: Ear<'_>) -> Result<Option<String>> {
        if self.waiting.back().is_some_and(|spare| !spare.is_warm) {
            return Ok(None);
        }
        if self.waiting.len() < self.wanted && self.has_room() {
            let spare = Spare::start(&LocalLauncher::new(self.wanted)?)?;
            let watched = spare.watch(ear);
            self.waiting.push_back(spare);
            return watched.map(|()| None);
        }
        Ok(self.note())
    }

    /// There is memory for one more. What it will cost is not known of the first: as much as this process, which has loaded the
    /// same.
    fn has_room(&self) -> bool {
        let cost = self.bytes.or_else(|| memory::of_process(std::process::id()));
        let spares = self.waiting.len() as u64 + 1;
        let (Some(cost), Some(available)) = (cost, memory::available()) else { return false };
        cost.saturating_mul(spares) <= available / PART_OF_MEMORY
    }

    fn note(&mut self) -> Option<String> {
        if self.wanted == 0 || std::mem::replace(&mut self.noted, true) {
            return None;
        }
        let (spares, wanted) = (self.waiting.len(), self.wanted);
        let count = match spares {
            1 => "1 spare process is".to_owned(),
            spares => format!("{spares} spare processes are"),
        };
        let each = self.bytes.map(|bytes| format!(" ({} MiB each)", bytes.div_ceil(1 << 20))).unwrap_or_default();
        let short = if spares < wanted { format!("; there is no memory for {wanted}") } else { String::new() };
        let note = format!("{count} ready for a restart{each}{short}");
        tracing::info!("{note}");
        Some(note)
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        // All at once, before any is waited for.
        for spare in &mut self.waiting {
            let _ = spare.child.kill();
        }
        self.waiting.drain(..).for_each(Spare::end);
    }
}

impl Spare {
    fn start(launcher: &LocalLauncher) -> Result<Self> {
        let (child, line) = launcher.spawn_spare()?;
        Ok(Self { child, line, threads: launcher.threads(), is_warm: false })
    }

    fn watch(&self, ear: Ear<'_>) -> Result<()> {
        let line = self.line.as_raw_fd();
        self.line
            .set_nonblocking(true)
            .and_then(|()| ear.registry.register(&mut SourceFd(&line), ear.token, Interest::READABLE))
            .map_err(|error| Error::channel(format!("cannot watch a spare process: {error}")))
    }

    /// Takes what it says, which is that it is warm.
    fn hear(&mut self) -> io::Result<()> {
        loop {
            match self.line.read(&mut [0; 16]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => self.is_warm = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes it a worker, warm or not: it is ahead of one that is started now.
    fn invite(mut self, launcher: &LocalLauncher, invitation: &Invitation) -> Result<Child, String> {
        let invited = match self.child.try_wait() {
            Ok(Some(status)) => Err(format!("it has ended ({status})")),
            Err(error) => Err(error.to_string()),
            Ok(None) if self.threads != launcher.threads() => Err("it has another number of threads".to_owned()),
            Ok(None) => {
                let text = format!("{}\n", invitation.write());
                self.line.write_all(text.as_bytes()).map_err(|error| error.to_string())
            }
        };
        match invited {
            // Closing the line is the end of the invitation.
            Ok(()) => Ok(self.child),
            Err(why) => {
                self.end();
                Err(why)
            }
        }
    }

    fn end(mut self) {
        // It has started nothing. Where this fails it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
