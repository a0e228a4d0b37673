//! The link of a worker process: the channel, written by the loop's thread and read by one of its own.

use std::cell::Cell;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;
use trainloop_checkpoint::fault;

use super::activity::{self, CheckpointPart};
use super::link::{Answer, HandIn, Link};
use crate::channel::{Begun, Stream, ToController, ToWorker, Written, read_frame, write_frame};
use crate::error::{Error, Result};

/// How long a process may take to end after its last word.
const LEAVE: Duration = Duration::from_secs(10);

/// The process at the other end of the channel.
pub(super) enum Driver {
    /// It has started this one.
    Parent(OwnedFd),
    /// It was started beside this one, by an engine; its end is the channel's.
    Elsewhere,
}

/// What a worker sees when it is to end.
enum Ended {
    /// The process that has started it is gone.
    Driver,
    Channel,
}

impl Driver {
    fn why_the_channel_ended(&self) -> &'static str {
        match self {
            Self::Parent(_) => {
                "its channel to the driver has ended; where the driver lives, does something in this process shut down sockets \
                 that it did not open?"
            }
            Self::Elsewhere => "the driver has ended the group or itself; rank 0 says why",
        }
    }
}

/// The loop's side.
pub(super) struct ChannelLink {
    /// A frame is written by one thread at a time.
    channel: Arc<Mutex<Stream>>,
    answers: Receiver<Answer>,
    stop: Arc<AtomicBool>,
    /// The driver has this rank's last word.
    said_all: Arc<AtomicBool>,
    /// How many reports went out: a failure says after which one it came.
    reports: Cell<u64>,
}

impl ChannelLink {
    /// Takes over the channel once the start has come. From here on the channel's end, which is the driver's end or its
    /// wish that this worker ends, ends this process at once, whatever the loop is doing.
    pub(super) fn new(channel: &Stream, driver: Driver, reports: u64, heartbeat: Duration) -> Result<Self> {
        let (sender, answers) = self::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let said_all = Arc::new(AtomicBool::new(false));
        let start = || -> std::io::Result<Stream> {
            let (reader, stop, said_all) = (channel.try_clone()?, Arc::clone(&stop), Arc::clone(&said_all));
            std::thread::Builder::new().name("channel".to_owned()).spawn(move || {
                let ended = loop {
                    if let ControlFlow::Break(ended) = take_next(&reader, &driver, &sender, &stop) {
                        break ended;
                    }
                };
                if said_all.load(Ordering::Relaxed) {
                    // It ends by itself, and with a code of its own.
                    std::thread::sleep(LEAVE);
                } else if let Ended::Channel = ended {
                    let words = format!("error: this rank ends, as {}\n", driver.why_the_channel_ended());
                    // Past std's lock, which the loop may hold; where nobody reads it any more, nobody misses it.
                    let _ = rustix::io::write(rustix::stdio::stderr(), words.as_bytes());
                }
                // With what this worker has started, for which the kernel's signal would leave no time. Not `exit`: that
                // would run libtorch's destructors under the loop's feet.
                let _ = rustix::process::kill_process_group(rustix::process::getpid(), Signal::KILL);
                let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
            })?;
            rustix::process::set_parent_process_death_signal(None)?;
            channel.try_clone()
        };
        let channel = start().map_err(|error| Error::channel(format!("cannot watch the channel: {error}")))?;
        let channel = Arc::new(Mutex::new(channel));
        activity::reports(reports);
        beat(Arc::clone(&channel), heartbeat)
            .map_err(|error| Error::channel(format!("cannot start the thread of heartbeats: {error}")))?;
        Ok(Self { channel, answers, stop, said_all, reports: Cell::new(reports) })
    }

    /// The worker's last message, and what its loop did at last.
    pub(super) fn end(&self, end: &ToController) -> Result<()> {
        // After a failure the controller may end this process before it ends by itself.
        let _ = std::io::stdout().flush();
        self.send(&ToController::Alive(activity::doing()))?;
        self.said_all.store(true, Ordering::Relaxed);
        self.send(end)
    }

    pub(super) fn send(&self, message: &ToController) -> Result<()> {
        send(&self.channel, message)
    }

    pub(super) fn reports(&self) -> u64 {
        self.reports.get()
    }

    fn note_reports(&self, reports: u64) {
        self.reports.set(reports);
        activity::reports(reports);
    }
}

/// Says every so often that this process is alive, whatever its loop is doing. Where the channel is full, the driver has
/// enough to read, which tells it the same.
fn beat(channel: Arc<Mutex<Stream>>, every: Duration) -> std::io::Result<()> {
    let beat = move || {
        while send(&channel, &ToController::Alive(activity::doing())).is_ok() {
            std::thread::sleep(every);
        }
    };
    std::thread::Builder::new().name("heartbeat".to_owned()).spawn(beat).map(drop)
}

fn send(channel: &Mutex<Stream>, message: &ToController) -> Result<()> {
    write_frame(&*channel.lock().unwrap_or_else(PoisonError::into_inner), message)
}

fn hand_in(channel: &Mutex<Stream>, written: Written) -> Result<()> {
    fault::step(fault::WORKER_BEFORE_VOTE);
    let checkpoint = written.checkpoint;
    send(channel, &ToController::Written(written))?;
    activity::checkpoint(checkpoint, CheckpointPart::HandedIn);
    fault::step(fault::WORKER_AFTER_VOTE);
    Ok(())
}

fn closed() -> Error {
    Error::channel("the channel to the driver is closed")
}

/// Waits for the next event of channel and driver, and takes it.
fn take_next(channel: &Stream, driver: &Driver, answers: &Sender<Answer>, stop: &AtomicBool) -> ControlFlow<Ended> {
    if let Driver::Parent(driver) = driver {
        let mut fds = [PollFd::new(channel, PollFlags::IN), PollFd::new(driver, PollFlags::IN)];
        match rustix::event::poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => return ControlFlow::Continue(()),
            Ok(_) if fds[1].revents().is_empty() => {}
            _ => return ControlFlow::Break(Ended::Driver),
        }
    }
    match read_frame(channel) {
        Ok(Some(ToWorker::Saved { checkpoint, failed, stop })) => {
            // The loop's thread may be gone already; the process then ends by itself.
            let _ = answers.send(Answer { checkpoint, failed, stop });
        }
        Ok(Some(ToWorker::Stop)) => stop.store(true, Ordering::Relaxed),
        Ok(Some(ToWorker::Start(_))) => {}
        Ok(None) | Err(_) => return ControlFlow::Break(Ended::Channel),
    }
    ControlFlow::Continue(())
}

/// A frame is handed to the kernel in one write, so a report outlives its process. Where the controller is behind, the
/// socket's buffer fills and the write waits: that is the back-pressure.
impl Link for ChannelLink {
    fn report(&self, index: u64, steps: u64, metrics: Vec<u8>) -> Result<()> {
        self.send(&ToController::Report { index, steps, metrics })?;
        self.note_reports(index + 1);
        Ok(())
    }

    fn log(&self, step: u64, values: Vec<u8>) -> Result<()> {
        self.send(&ToController::Logged { step, values })
    }

    fn begin(&self, begun: Begun) -> Result<()> {
        let Begun { checkpoint, reports, .. } = begun;
        self.send(&ToController::Begun(begun))?;
        activity::checkpoint(checkpoint, CheckpointPart::Begun);
        self.note_reports(reports);
        Ok(())
    }

    fn hand_in(&self, written: Written) -> Result<()> {
        hand_in(&self.channel, written)
    }

    fn hand_in_from_a_thread(&self) -> Option<HandIn> {
        let channel = Arc::clone(&self.channel);
        Some(Box::new(move |written| hand_in(&channel, written)))
    }

    fn answer(&self, checkpoint: u64) -> Result<Answer> {
        loop {
            match self.answers.recv() {
                Ok(answer) if answer.checkpoint == checkpoint => {
                    activity::checkpoint(checkpoint, CheckpointPart::Answered);
                    fault::step(fault::WORKER_AFTER_ANSWER);
                    return Ok(answer);
                }
                Ok(_) => {}
                Err(_) => return Err(closed()),
            }
        }
    }

    fn poll_answer(&self, checkpoint: u64) -> Result<Option<Answer>> {
        loop {
            match self.answers.try_recv() {
                Ok(answer) if answer.checkpoint == checkpoint => {
                    activity::checkpoint(checkpoint, CheckpointPart::Answered);
                    fault::step(fault::WORKER_AFTER_ANSWER);
                    return Ok(Some(answer));
                }
                Ok(_) => {}
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(closed()),
            }
        }
    }

    fn progress(&self, done: u64, total: u64) {
        // A closed channel ends the process by itself; a lost bar is no reason to fail.
        let _ = self.send(&ToController::Progress { done, total });
    }

    fn can_stop(&self) -> Result<()> {
        self.send(&ToController::CanStop)
    }

    fn stop_wished(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
