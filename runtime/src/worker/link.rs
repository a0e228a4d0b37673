//! Where a worker's reports go.

use std::os::unix::net::UnixStream;

use crate::channel::{ToController, write_frame};
use crate::error::Result;

/// The way to the controller: a socket, or, with `workers(0)`, a call.
pub(crate) trait Link {
    /// One `ctx.report`, its metrics encoded.
    fn report(&self, index: u64, metrics: Vec<u8>) -> Result<()>;

    /// How far the loader is; dropped where it cannot be shown.
    fn progress(&self, done: u64, total: u64);
}

/// A frame is handed to the kernel in one write, so a report outlives its process. Where the controller is behind, the
/// socket's buffer fills and the write waits: that is the back-pressure.
impl Link for UnixStream {
    fn report(&self, index: u64, metrics: Vec<u8>) -> Result<()> {
        write_frame(self, &ToController::Report { index, metrics })
    }

    fn progress(&self, done: u64, total: u64) {
        // A closed channel ends the process by itself; a lost bar is no reason to fail.
        let _ = write_frame(self, &ToController::Progress { done, total });
    }
}
