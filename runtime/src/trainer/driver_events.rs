//! The callbacks of a run in the driver.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use trainloop_checkpoint::Committed;

use super::{RunFailure, StateChange};
use crate::callback::{Callbacks, CheckpointInfo, Event, MetricsType, Offer, Reduced, Resize, RunEnd, RunInfo};
use crate::error::{Error, Result};
use crate::log::Console;
use crate::metric::{Metrics, Ranks};

/// Fires the driver's events for a loop with the metrics `M`.
pub(super) struct DriverEvents<M> {
    callbacks: Callbacks,
    console: Rc<Console>,
    /// The last report of all ranks, reduced.
    last: RefCell<Option<Reduced<M>>>,
}

impl<M: Metrics> DriverEvents<M> {
    pub(super) fn new(train_loop: &str, console: Rc<Console>, last: Option<M>) -> Self {
        Self {
            callbacks: Callbacks::of_loop(train_loop, MetricsType::of::<M>()),
            console,
            last: RefCell::new(last.map(Reduced::new)),
        }
    }

    /// The metrics of the last report.
    pub(super) fn last(&self) -> Option<M> {
        self.last.borrow().as_deref().cloned()
    }

    pub(super) fn run_start(&self, run: &RunInfo) -> Result<()> {
        self.callbacks.run(Event::RunStart, Offer::new(&[run]))
    }

    /// All ranks have made a report.
    pub(super) fn report(&self, run: &RunInfo, ranks: &Ranks<M>, reduced: M) -> Result<()> {
        let reduced = Reduced::new(reduced);
        let result = self.callbacks.run(Event::DriverReport, Offer::new(&[run, ranks, &reduced]));
        self.last.replace(Some(reduced));
        result
    }

    /// A checkpoint is committed; the last report came with it where `reported`.
    pub(super) fn checkpoint(&self, run: &RunInfo, committed: &Committed, reported: bool) -> Result<()> {
        let Committed { index, folder, manifest } = committed;
        let info = CheckpointInfo {
            index: *index,
            path: folder.clone(),
            score: manifest.score.map(|score| score.0),
            reports: manifest.report,
        };
        let last = self.last.borrow();
        let mut shared: Vec<&dyn Any> = vec![run, &info];
        shared.extend(last.as_ref().filter(|_| reported).map(|last| last as &dyn Any));
        self.callbacks.run(Event::Checkpoint, Offer::new(&shared))
    }

    /// A rank has failed. Whatever a callback makes of it, that failure is the one that counts.
    pub(super) fn exception(&self, run: &RunInfo, failure: &RunFailure) {
        self.warn(self.callbacks.run_all(Event::Exception, Offer::new(&[run, failure])));
    }

    /// The group is about to start again.
    pub(super) fn restart(&self, run: &RunInfo, failure: &RunFailure) -> Result<()> {
        self.callbacks.run(Event::Restart, Offer::new(&[run, failure]))
    }

    /// The group is about to go on with another number of workers.
    pub(super) fn resize(&self, run: &RunInfo, resize: &Resize) -> Result<()> {
        self.callbacks.run(Event::Resize, Offer::new(&[run, resize]))
    }

    /// The run's state has changed.
    pub(super) fn state(&self, run: &RunInfo, change: &StateChange) -> Result<()> {
        self.callbacks.run(Event::State, Offer::new(&[run, change]))
    }

    /// The same for a run that has an error already, which is the one that counts.
    pub(super) fn state_of_failure(&self, run: &RunInfo, change: &StateChange) {
        self.warn(self.callbacks.run_all(Event::State, Offer::new(&[run, change])));
    }

    /// The run has ended. An error of a callback is the run's where it has no other.
    pub(super) fn run_end<T>(&self, run: &RunInfo, result: Result<T>) -> Result<T> {
        let end = match &result {
            Ok(_) => RunEnd::Finished,
            Err(Error::Interrupted { signal, .. }) => RunEnd::Interrupted { signal: *signal },
            Err(error) => RunEnd::Failed { error: crate::error::with_causes(error) },
        };
        let last = self.last.borrow();
        let mut shared: Vec<&dyn Any> = vec![run, &end];
        shared.extend(last.as_ref().map(|last| last as &dyn Any));
        let offer = Offer::new(&shared);
        match result {
            Ok(value) => self.callbacks.run(Event::RunEnd, offer).map(|()| value),
            Err(error) => {
                self.warn(self.callbacks.run_all(Event::RunEnd, offer));
                Err(error)
            }
        }
    }

    fn warn(&self, errors: Vec<Error>) {
        for error in errors {
            self.console.warning(&crate::error::with_causes(&error));
        }
    }
}
