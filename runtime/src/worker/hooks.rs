//! The events of a worker's loop, on their way to the callbacks.
//!
//! Whoever makes an event knows the hooks: the context, the loaders that it has shared out, and the optimizers of the models
//! that it has prepared.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tch::Tensor;

use super::seat::SeatParts;
use crate::callback::{Callbacks, Control, EpochInfo, Event, Offer, Report, WorkerInfo};
use crate::controller::record;
use crate::error::Result;
use crate::log::StepSpan;
use crate::metric::Metrics;
use crate::tracker::Logged;

/// Tells a rank's callbacks what its loop does.
pub(crate) struct Hooks {
    callbacks: Callbacks,
    /// Without its steps.
    worker: WorkerInfo,
    steps: Rc<Cell<u64>>,
    control: Control,
    /// The one that a loader is in.
    epoch: RefCell<Option<EpochInfo>>,
    /// Epochs and steps of a validation are not the training's.
    validating: Cell<bool>,
    span: StepSpan,
}

impl Hooks {
    pub(super) fn new(parts: &SeatParts, steps: Rc<Cell<u64>>) -> Self {
        Self {
            callbacks: parts.callbacks.clone(),
            worker: WorkerInfo {
                rank: parts.rank,
                world_size: parts.world_size,
                run_name: parts.run_name.clone(),
                steps: 0,
            },
            steps,
            control: Control::default(),
            epoch: RefCell::default(),
            validating: Cell::default(),
            span: StepSpan::default(),
        }
    }

    /// A report is made; a callback may change it.
    pub(super) fn report<M: Metrics>(&self, report: &mut Report<M>) -> Result<()> {
        if !self.callbacks.has(Event::WorkerReport) {
            return Ok(());
        }
        let worker = self.worker();
        self.callbacks.run(Event::WorkerReport, Offer::new(&[&worker, &self.control]).with_report(report))
    }

    /// Metrics are logged; the number is that of a report.
    pub(super) fn log(&self, step: u64, report: Option<u64>, values: &[u8]) -> Result<()> {
        if !self.callbacks.has(Event::Log) {
            return Ok(());
        }
        let logged = Logged::of_record(step, report, &record(values)?);
        let worker = self.worker();
        self.callbacks.run(Event::Log, Offer::new(&[&logged, &worker, &self.control]))
    }

    /// What the callbacks know of this worker, now.
    fn worker(&self) -> WorkerInfo {
        WorkerInfo { steps: self.steps.get(), ..self.worker.clone() }
    }

    pub(super) fn control(&self) -> &Control {
        &self.control
    }

    pub(crate) fn fire(&self, event: Event) -> Result<()> {
        match event {
            _ if self.validating.get() => {}
            Event::StepStart => self.span.enter(self.steps.get()),
            Event::EpochEnd | Event::ValidationStart | Event::TrainEnd => self.span.exit(),
            _ => {}
        }
        self.tell(event, None)
    }

    /// A step has been counted, so the next begins, for a loop without a loader, too.
    pub(super) fn next_step(&self) {
        self.span.enter(self.steps.get());
    }

    /// An event of a pass backward.
    pub(crate) fn fire_with(&self, event: Event, loss: &Tensor) -> Result<()> {
        self.tell(event, Some(loss))
    }

    /// A loader begins an epoch; true where it is the training's.
    pub(crate) fn begin_epoch(&self, epoch: EpochInfo) -> Result<bool> {
        if self.validating.get() {
            return Ok(false);
        }
        // The epoch's steps are inside of the span that the loop is in now.
        self.span.exit();
        self.epoch.replace(Some(epoch));
        self.fire(Event::EpochStart)?;
        Ok(true)
    }

    /// Nothing that happens inside is the training's.
    pub(super) fn validate<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        self.fire(Event::ValidationStart)?;
        let outer = self.validating.replace(true);
        let result = run();
        self.validating.set(outer);
        let value = result?;
        self.fire(Event::ValidationEnd)?;
        Ok(value)
    }

    /// Inside `ctx.validate`.
    pub(crate) fn is_validating(&self) -> bool {
        self.validating.get()
    }

    fn tell(&self, event: Event, loss: Option<&Tensor>) -> Result<()> {
        if self.validating.get() || !self.callbacks.has(event) {
            return Ok(());
        }
        let worker = self.worker();
        let epoch = self.epoch.borrow().clone();
        let mut shared: Vec<&dyn Any> = vec![&worker, &self.control];
        shared.extend(epoch.as_ref().map(|epoch| epoch as &dyn Any));
        shared.extend(loss.map(|loss| loss as &dyn Any));
        self.callbacks.run(event, Offer::new(&shared))
    }
}
