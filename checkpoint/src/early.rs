//! The flush of a large file begins while it is written: at its end the disk has most of it, and the last flush is short.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// After so many bytes the disk is asked to begin.
const SHARE: u64 = 64 << 20;

/// Flushes a file from a thread of its own, one share after the other, as it grows.
#[derive(Debug, Default)]
pub(crate) struct EarlyFlush {
    unasked: u64,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    ask: SyncSender<()>,
    handle: JoinHandle<io::Result<()>>,
}

impl EarlyFlush {
    /// So many bytes more were written to `file`.
    pub(crate) fn wrote(&mut self, file: &File, bytes: usize) {
        self.unasked += bytes as u64;
        if self.unasked < SHARE {
            return;
        }
        if self.thread.is_none() {
            // Without a thread the last flush has it all to do.
            self.thread = Thread::start(file).ok();
        }
        // While the disk has enough to do, the next share grows.
        if let Some(thread) = &self.thread
            && thread.ask.try_send(()) != Err(TrySendError::Full(()))
        {
            self.unasked = 0;
        }
    }

    /// Waits for what is under way. The system tells of a write that failed once only, so an error here is the file's.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let Some(Thread { ask, handle }) = self.thread.take() else { return Ok(()) };
        drop(ask);
        handle.join().unwrap_or_else(|_| Err(io::Error::other("the thread that flushes has panicked")))
    }
}

impl Thread {
    fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (ask, asked) = sync_channel(1);
        let flush = move || asked.into_iter().try_for_each(|()| file.sync_data());
        let handle = std::thread::Builder::new().name("flush".to_owned()).spawn(flush)?;
        Ok(Self { ask, handle })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn write_share(file: &mut File, early: &mut EarlyFlush) {
        let share = vec![7; SHARE as usize];
        file.write_all(&share).unwrap();
        early.wrote(file, share.len());
    }

    #[test]
    fn a_thread_begins_with_the_first_share() {
        let mut file = tempfile::tempfile().unwrap();
        let mut early = EarlyFlush::default();
        early.wrote(&file, SHARE as usize - 1);
        assert!(early.thread.is_none());
        write_share(&mut file, &mut early);
        assert!(early.thread.is_some());
        early.finish().unwrap();
        assert!(early.thread.is_none());
        early.finish().unwrap();
    }

    /// A pipe cannot be flushed: an error from a real system call.
    #[test]
    fn an_error_is_kept_for_the_end() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(writer));
        let mut early = EarlyFlush::default();
        early.wrote(&pipe, SHARE as usize);
        let error = early.finish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
