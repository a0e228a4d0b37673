//! The link of a worker process: the channel, written by the loop's thread and read by one of its own.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;
use trainloop_checkpoint::fault;

use super::link::{Answer, Link};
use crate::channel::{Save, ToController, ToWorker, read_frame, write_frame};
use crate::error::{Error, Result};

/// The loop's side.
pub(super) struct ChannelLink {
    channel: UnixStream,
    answers: Receiver<(u64, Answer)>,
    stop: Arc<AtomicBool>,
    /// How many reports went out: a failure says after which one it came.
    reports: Cell<u64>,
}

impl ChannelLink {
    /// Takes over the channel once the start has come. From here on the channel's end, which is the driver's end or its
    /// wish that this worker ends, ends this process at once, whatever the loop is doing.
    pub(super) fn new(channel: &UnixStream, driver: OwnedFd, reports: u64) -> Result<Self> {
        let (sender, answers) = self::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let start = || -> std::io::Result<UnixStream> {
            let (reader, stop) = (channel.try_clone()?, Arc::clone(&stop));
            std::thread::Builder::new().name("channel".to_owned()).spawn(move || {
                while goes_on(&reader, &driver, &sender, &stop) {}
                // With what this worker has started, for which the kernel's signal would leave no time. Not `exit`: that
                // would run libtorch's destructors under the loop's feet.
                let _ = rustix::process::kill_process_group(rustix::process::getpid(), Signal::KILL);
                let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
            })?;
            rustix::process::set_parent_process_death_signal(None)?;
            channel.try_clone()
        };
        let channel = start().map_err(|error| Error::channel(format!("cannot watch the channel: {error}")))?;
        Ok(Self { channel, answers, stop, reports: Cell::new(reports) })
    }

    pub(super) fn reports(&self) -> u64 {
        self.reports.get()
    }
}

/// Waits for the next event of channel and driver; false where it is the end of either.
fn goes_on(channel: &UnixStream, driver: &OwnedFd, answers: &Sender<(u64, Answer)>, stop: &AtomicBool) -> bool {
    let mut fds = [PollFd::new(channel, PollFlags::IN), PollFd::new(driver, PollFlags::IN)];
    match rustix::event::poll(&mut fds, None) {
        Err(rustix::io::Errno::INTR) => return true,
        Ok(_) if fds[1].revents().is_empty() => {}
        _ => return false,
    }
    match read_frame(channel) {
        Ok(Some(ToWorker::Saved { checkpoint, failed, stop })) => {
            // The loop's thread may be gone already; the process then ends by itself.
            let _ = answers.send((checkpoint, Answer { failed, stop }));
            true
        }
        Ok(Some(ToWorker::Stop)) => {
            stop.store(true, Ordering::Relaxed);
            true
        }
        Ok(Some(ToWorker::Start(_))) => true,
        Ok(None) | Err(_) => false,
    }
}

/// A frame is handed to the kernel in one write, so a report outlives its process. Where the controller is behind, the
/// socket's buffer fills and the write waits: that is the back-pressure.
impl Link for ChannelLink {
    fn report(&self, index: u64, metrics: Vec<u8>) -> Result<()> {
        write_frame(&self.channel, &ToController::Report { index, metrics })?;
        self.reports.set(index + 1);
        Ok(())
    }

    fn save(&self, save: Save) -> Result<Answer> {
        let wanted = save.checkpoint;
        let reports = save.report.as_ref().map(|(index, _)| index + 1);
        fault::step(fault::WORKER_BEFORE_VOTE);
        write_frame(&self.channel, &ToController::Save(save))?;
        fault::step(fault::WORKER_AFTER_VOTE);
        if let Some(reports) = reports {
            self.reports.set(reports);
        }
        loop {
            match self.answers.recv() {
                Ok((checkpoint, answer)) if checkpoint == wanted => {
                    fault::step(fault::WORKER_AFTER_ANSWER);
                    return Ok(answer);
                }
                Ok(_) => {}
                Err(_) => return Err(Error::channel("the channel to the driver is closed")),
            }
        }
    }

    fn progress(&self, done: u64, total: u64) {
        // A closed channel ends the process by itself; a lost bar is no reason to fail.
        let _ = write_frame(&self.channel, &ToController::Progress { done, total });
    }

    fn can_stop(&self) -> Result<()> {
        write_frame(&self.channel, &ToController::CanStop)
    }

    fn stop_wished(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
