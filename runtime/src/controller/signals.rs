//! SIGINT and SIGTERM as events of the poll, for as long as a run goes on.

use std::io::Read;
use std::os::unix::net::UnixStream as StdStream;

use mio::net::UnixStream;
use mio::{Interest, Registry};
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::wakeups::Source;

/// While it lives, the signals wake the poll instead of ending the process.
pub(super) struct Signals {
    entries: Vec<(i32, SigId, UnixStream)>,
}

impl Signals {
    pub(super) fn register(registry: &Registry) -> std::io::Result<Self> {
        let mut signals = Self { entries: Vec::new() };
        for signal in [SIGINT, SIGTERM] {
            let (reader, writer) = StdStream::pair()?;
            reader.set_nonblocking(true)?;
            let mut reader = UnixStream::from_std(reader);
            registry.register(&mut reader, Source::Signal(signal as usize).token(), Interest::READABLE)?;
            let id = signal_hook::low_level::pipe::register(signal, writer)?;
            signals.entries.push((signal, id, reader));
        }
        Ok(signals)
    }

    /// True if `signal` has really come.
    pub(super) fn take(&mut self, signal: usize) -> bool {
        let entry = self.entries.iter_mut().find(|(number, ..)| *number as usize == signal);
        entry.is_some_and(|(_, _, reader)| matches!(reader.read(&mut [0; 16]), Ok(read) if read > 0))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (_, id, _) in &self.entries {
            signal_hook::low_level::unregister(*id);
        }
    }
}
