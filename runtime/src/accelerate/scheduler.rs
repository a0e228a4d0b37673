//! A prepared schedule.

use std::cell::RefCell;
use std::rc::Rc;

use super::optimizer::AcceleratedOptimizer;
use crate::error::{Error, Result};
use crate::optim::Rule;
use crate::schedule::{Schedule, Scheduler};

/// A schedule that [`Accelerator::prepare`](super::Accelerator::prepare) gave: it steps where its optimizer has stepped, and then
/// as often as there are ranks, so that numbers chosen for one process hold for several. Accelerate's class of this name.
#[derive(Debug)]
pub struct AcceleratedScheduler<S: Schedule> {
    inner: Rc<RefCell<Scheduler<S>>>,
    /// Steps for each of the optimizer's; `None` where it steps on its own.
    steps: Option<u64>,
}

impl<S: Schedule> AcceleratedScheduler<S> {
    pub(super) fn new(inner: Rc<RefCell<Scheduler<S>>>, steps: Option<u64>) -> Self {
        Self { inner, steps }
    }

    /// Counts the optimizer's step as one for each rank, and gives the optimizer the learning rate of the next; inside a window,
    /// and where the step was left out, it does nothing. With
    /// [`split_batches`](super::AcceleratorBuilder::split_batches) it counts one, and with
    /// [`step_scheduler_with_optimizer(false)`](super::AcceleratorBuilder::step_scheduler_with_optimizer) always one.
    ///
    /// # Errors
    /// Those of [`Scheduler::step`].
    pub fn step<R: Rule>(&mut self, optimizer: &mut AcceleratedOptimizer<R>) -> Result<()> {
        let steps = match self.steps {
            None => 1,
            Some(_) if !optimizer.syncs() || optimizer.step_was_skipped() => return Ok(()),
            Some(steps) => steps,
        };
        let mut scheduler = self.inner.try_borrow_mut().map_err(|_| Error::config("the prepared schedule is lent"))?;
        let step = scheduler.steps().saturating_add(steps);
        scheduler.seek(step, &mut *optimizer.lend_mut()?)
    }

    /// How many steps it has counted.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.inner.borrow().steps()
    }
}
