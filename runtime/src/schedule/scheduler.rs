//! A schedule at work: the counter, and the optimizer's learning rates.

use serde::{Deserialize, Serialize};

use super::Schedule;
use crate::error::{Error, Result};
use crate::optim::{Optimizer, Rule};

/// A [`Schedule`] that counts steps and sets the optimizer's learning rates; from [`Schedule::attach`].
///
/// [`step`](Self::step) goes after the optimizer's step. Its state is the count alone, beside which the schedule's numbers
/// are saved to be compared. The learning rates themselves are part of the optimizer's state.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduler<S: Schedule> {
    schedule: S,
    step: u64,
}

/// What a [`Scheduler`] knows; from [`Scheduler::state`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerState<S> {
    /// The schedule, with its numbers.
    pub schedule: S,
    /// How many steps were taken.
    pub step: u64,
}

impl<S: Schedule> Scheduler<S> {
    pub(super) fn new<R: Rule>(schedule: S, optimizer: &mut Optimizer<R>) -> Result<Self> {
        schedule.validate()?;
        let mut scheduler = Self { schedule, step: 0 };
        scheduler.seek(0, optimizer)?;
        Ok(scheduler)
    }

    /// Counts one step, and gives the optimizer the learning rates of the next.
    ///
    /// # Errors
    /// [`Error::Config`] where the schedule's factor is negative or not finite, which those of this crate are only after
    /// growing for too long; nothing is changed then.
    pub fn step<R: Rule>(&mut self, optimizer: &mut Optimizer<R>) -> Result<()> {
        self.seek(self.step.saturating_add(1), optimizer)
    }

    /// Goes to where `step` steps were taken, and gives the optimizer the learning rates of the next.
    ///
    /// # Errors
    /// As [`step`](Self::step)'s.
    pub fn seek<R: Rule>(&mut self, step: u64, optimizer: &mut Optimizer<R>) -> Result<()> {
        let factor = self.schedule.factor(step);
        if !factor.is_finite() || factor < 0.0 {
            return Err(Error::config(format!(
                "the schedule {:?} gives the factor {factor} for step {step}; it must be a finite number of at least 0",
                self.schedule
            )));
        }
        optimizer.apply_schedule(|initial| self.schedule.rate(initial, step), self.schedule.momentum(step))?;
        self.step = step;
        Ok(())
    }

    /// The factor that the optimizer's initial learning rates have now.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.schedule.factor(self.step)
    }

    /// How many steps were taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// The schedule, with its numbers.
    #[must_use]
    pub fn schedule(&self) -> &S {
        &self.schedule
    }

    /// The count, and the schedule to compare with.
    #[must_use]
    pub fn state(&self) -> SchedulerState<S> {
        SchedulerState { schedule: self.schedule.clone(), step: self.step }
    }

    /// Takes the count of a state. The optimizer's learning rates come with the optimizer's own state, or else with the
    /// next [`step`](Self::step).
    ///
    /// # Errors
    /// [`Error::Config`] where the state is that of a schedule with other numbers; nothing is changed then. To go on with
    /// other numbers on purpose, [`seek`](Self::seek) the state's step.
    pub fn load_state(&mut self, state: &SchedulerState<S>) -> Result<()> {
        if self.schedule != state.schedule {
            return Err(Error::config(format!(
                "the saved schedule is {:?}, and this one is {:?}; build it with the same numbers (a length that was computed \
                 from a loader's batches changes with the number of workers), or `seek` step {} to go on with other ones",
                state.schedule, self.schedule, state.step
            )));
        }
        self.step = state.step;
        Ok(())
    }
}
