//! A rank's parts of checkpoints: written while the loop waits, or by a thread while it goes on.
//!
//! Every rank *begins* a checkpoint at the same place of its loop, and hands in its part when that is on the disk. At most
//! one checkpoint is under way. The next waits for it, or gives it up: then this rank's part is handed in as missing, and the
//! controller gives the checkpoint up for all ranks.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use trainloop_checkpoint::{Checkpoints, FileEntry, fault};

use super::link::{Answer, Link};
use super::source::Part;
use crate::channel::{Missing, Written};
use crate::error::{Error, Result, with_causes};
use crate::trainer::WhenBusy;

/// One rank's side of making checkpoints.
pub(super) struct Saver {
    link: Rc<dyn Link>,
    checkpoints: Checkpoints,
    rank: usize,
    /// Asynchronously, and then what the next one does while one is under way.
    when_busy: Option<WhenBusy>,
    under_way: Option<UnderWay>,
    /// Memory for the next copy.
    spare: Option<Part>,
}

struct UnderWay {
    checkpoint: u64,
    given_up: Arc<AtomicBool>,
    /// `None` once it has ended.
    thread: Option<JoinHandle<Done>>,
}

/// What a thread leaves: the part, whose memory is used again, and what is to be handed in, if the thread could not.
struct Done {
    part: Part,
    to_hand_in: Option<Written>,
}

impl Saver {
    pub(super) fn new(link: Rc<dyn Link>, checkpoints: Checkpoints, rank: usize, when_busy: Option<WhenBusy>) -> Self {
        Self { link, checkpoints, rank, when_busy, under_way: None, spare: None }
    }

    /// Writes a part and waits for the commit.
    pub(super) fn save(&self, checkpoint: u64, part: Result<Part>) -> Result<Answer> {
        let never = AtomicBool::new(false);
        let written = part.and_then(|part| write(&self.checkpoints, checkpoint, &part, self.rank, &never));
        // The others wait for this rank's part: where it has none, they hear why.
        let files = written.as_ref().map(Vec::clone).map_err(|error| Missing::Failed(with_causes(error)));
        self.link.hand_in(Written { checkpoint, files })?;
        let answer = self.link.answer(checkpoint)?;
        written?;
        Ok(answer)
    }

    /// Copies a part and lets a thread write it; gives it back where that cannot be.
    pub(super) fn save_later(&mut self, checkpoint: u64, part: Result<Part>) -> Result<(), Result<Part>> {
        if self.when_busy.is_none() || !part.as_ref().is_ok_and(Part::can_wait) {
            return Err(part);
        }
        let part = part.and_then(|part| part.copied(self.spare.take())).map_err(Err)?;
        let given_up = Arc::new(AtomicBool::new(false));
        let (checkpoints, rank, hand_in) = (self.checkpoints.clone(), self.rank, self.link.hand_in_from_a_thread());
        let write = {
            let given_up = Arc::clone(&given_up);
            move || {
                let written = write(&checkpoints, checkpoint, &part, rank, &given_up);
                let files = written.map_err(|error| {
                    if given_up.load(Ordering::Relaxed) {
                        Missing::GivenUp
                    } else {
                        Missing::Failed(with_causes(&error))
                    }
                });
                let written = Written { checkpoint, files };
                let to_hand_in = match hand_in {
                    Some(hand_in) => {
                        // Where the channel is closed, this process is about to be ended.
                        let _ = hand_in(written);
                        None
                    }
                    None => Some(written),
                };
                Done { part, to_hand_in }
            }
        };
        match std::thread::Builder::new().name(format!("checkpoint-{checkpoint}")).spawn(write) {
            Ok(thread) => {
                self.under_way = Some(UnderWay { checkpoint, given_up, thread: Some(thread) });
                Ok(())
            }
            Err(error) => Err(Err(Error::other(format!("cannot start a thread for the checkpoint: {error}")))),
        }
    }

    /// What became of the checkpoint under way, if that is known by now.
    pub(super) fn poll(&mut self) -> Result<Option<Answer>> {
        let Some(under_way) = &self.under_way else { return Ok(None) };
        let checkpoint = under_way.checkpoint;
        if under_way.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join()?;
        }
        let answer = self.link.poll_answer(checkpoint)?;
        if answer.is_some() {
            self.join()?;
            self.under_way = None;
        }
        Ok(answer)
    }

    /// Makes room for the next checkpoint: what became of the one under way.
    pub(super) fn make_room(&mut self) -> Result<Option<Answer>> {
        if let (Some(WhenBusy::Replace), Some(under_way)) = (self.when_busy, &self.under_way) {
            under_way.given_up.store(true, Ordering::Relaxed);
        }
        fault::step(fault::WORKER_MAKES_ROOM);
        self.finish()
    }

    /// Waits for the checkpoint under way.
    pub(super) fn finish(&mut self) -> Result<Option<Answer>> {
        let Some(checkpoint) = self.under_way.as_ref().map(|under_way| under_way.checkpoint) else { return Ok(None) };
        self.join()?;
        let answer = self.link.answer(checkpoint)?;
        self.under_way = None;
        Ok(Some(answer))
    }

    /// Waits for the thread's end, hands in what it could not, and keeps its memory.
    fn join(&mut self) -> Result<()> {
        let Some(thread) = self.under_way.as_mut().and_then(|under_way| under_way.thread.take()) else { return Ok(()) };
        let Done { part, to_hand_in } = thread
            .join()
            .map_err(|panic| Error::other(format!("saving panicked: {}", super::panic_message(panic.as_ref()))))?;
        self.spare = Some(part);
        to_hand_in.map_or(Ok(()), |written| self.link.hand_in(written))
    }
}

/// A loop that ends with an error leaves no thread that writes into the run.
impl Drop for Saver {
    fn drop(&mut self) {
        if let Some(UnderWay { given_up, thread: Some(thread), .. }) = self.under_way.take() {
            given_up.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
    }
}

fn write(
    checkpoints: &Checkpoints,
    checkpoint: u64,
    part: &Part,
    rank: usize,
    given_up: &AtomicBool,
) -> Result<Vec<FileEntry>> {
    let staging = checkpoints.stage(checkpoint)?;
    let files = part.write(&staging, rank, given_up)?;
    staging.finish(&files)?;
    Ok(files)
}
