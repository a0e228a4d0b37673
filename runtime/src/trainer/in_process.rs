//! The link of a loop in the driver's own process.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::channel::{Begun, Written};
use crate::controller::{Ledger, Saved, record};
use crate::error::{Error, Result};
use crate::log::Console;
use crate::tracker::Trackers;
use crate::worker::{Answer, HandIn, Link};

pub(super) struct InProcess {
    ledger: RefCell<Ledger>,
    trackers: Rc<Trackers>,
    console: Rc<Console>,
    /// The signal that came, or 0.
    signal: Arc<AtomicUsize>,
    handlers: Cell<Vec<SigId>>,
    driver_failed: Cell<bool>,
    /// What became of the last checkpoint, until it is asked for.
    answer: Cell<Option<Answer>>,
}

impl InProcess {
    pub(super) fn new(ledger: Ledger, trackers: Rc<Trackers>, console: Rc<Console>) -> Self {
        Self {
            ledger: RefCell::new(ledger),
            trackers,
            console,
            signal: Arc::default(),
            handlers: Cell::default(),
            driver_failed: Cell::default(),
            answer: Cell::default(),
        }
    }

    fn reported(&self, index: u64, steps: u64, reduced: &Value) {
        self.console.report(index, reduced);
        self.trackers.report(index, steps, reduced);
    }

    pub(super) fn rounds(&self) -> u64 {
        self.ledger.borrow().rounds()
    }

    /// A callback in the driver has failed: the loop's error came from there.
    pub(super) fn driver_failed(&self) -> bool {
        self.driver_failed.get()
    }

    fn note_driver(&self, error: &Error) {
        if matches!(error, Error::Callback { .. }) {
            self.driver_failed.set(true);
        }
    }

    pub(super) fn signal(&self) -> Option<i32> {
        i32::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|&signal| signal != 0)
    }
}

impl Link for InProcess {
    fn report(&self, index: u64, steps: u64, metrics: Vec<u8>) -> Result<()> {
        let mut ledger = self.ledger.borrow_mut();
        if let Some((index, reduced)) = ledger.report(0, index, metrics).inspect_err(|error| self.note_driver(error))? {
            self.reported(index, steps, &reduced);
        }
        ledger.flush()
    }

    fn log(&self, step: u64, values: Vec<u8>) -> Result<()> {
        self.trackers.log(step, &record(&values)?);
        Ok(())
    }

    fn begin(&self, begun: Begun) -> Result<()> {
        let steps = begun.steps;
        self.trackers.begin_checkpoint(begun.checkpoint)?;
        let reduced = self.ledger.borrow_mut().begin(0, begun).inspect_err(|error| self.note_driver(error))?;
        if let Some((index, reduced)) = reduced {
            self.reported(index, steps, &reduced);
        }
        Ok(())
    }

    fn hand_in(&self, written: Written) -> Result<()> {
        let saved = self.ledger.borrow_mut().hand_in(0, written).inspect_err(|error| self.note_driver(error))?;
        let Some(Saved { index, failed, warnings }) = saved else {
            return Err(Error::channel("the only rank's part is not all of a checkpoint"));
        };
        for warning in warnings {
            self.console.warning(&warning);
        }
        self.answer.set(Some(Answer { checkpoint: index, failed, stop: self.stop_wished() }));
        Ok(())
    }

    /// The ledger belongs to the loop's thread.
    fn hand_in_from_a_thread(&self) -> Option<HandIn> {
        None
    }

    fn answer(&self, checkpoint: u64) -> Result<Answer> {
        self.poll_answer(checkpoint)?
            .ok_or_else(|| Error::channel(format!("checkpoint {checkpoint} is waited for, and no part was handed in")))
    }

    fn poll_answer(&self, checkpoint: u64) -> Result<Option<Answer>> {
        Ok(self.answer.take().filter(|answer| answer.checkpoint == checkpoint))
    }

    fn progress(&self, done: u64, total: u64) {
        self.console.progress(done, total);
    }

    /// From here on a first signal is a wish; a second one does what it always does.
    fn can_stop(&self) -> Result<()> {
        let mut handlers = Vec::new();
        for signal in [SIGINT, SIGTERM] {
            let register = || -> std::io::Result<[SigId; 3]> {
                // In this order: the flag that makes the second one deadly is set after it was looked at.
                let again = Arc::new(AtomicBool::new(false));
                let second = signal_hook::flag::register_conditional_default(signal, Arc::clone(&again))?;
                let first = signal_hook::flag::register_usize(signal, Arc::clone(&self.signal), signal as usize)?;
                let once = signal_hook::flag::register(signal, again)?;
                Ok([second, first, once])
            };
            handlers.extend(register().map_err(|error| Error::channel(format!("cannot watch for signals: {error}")))?);
        }
        self.handlers.set(handlers);
        Ok(())
    }

    fn stop_wished(&self) -> bool {
        self.signal().is_some()
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        for handler in self.handlers.take() {
            signal_hook::low_level::unregister(handler);
        }
    }
}
