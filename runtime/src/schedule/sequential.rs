//! One schedule after another.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::numbers::at_least_one_step;
use crate::error::Result;

/// One schedule for some steps, then another from its own first step: `torch.optim.lr_scheduler.SequentialLR`; from
/// [`Schedule::then`] or [`LinearWarmup::before`](super::LinearWarmup::before).
///
/// ```
/// use trainloop::schedule::{ConstantLr, Schedule, StepLr};
///
/// let schedule = ConstantLr::new(0.1).then(3, StepLr::new(2, 0.5));
/// assert_eq!([0, 2, 3, 4, 5].map(|step| schedule.factor(step)), [0.1, 0.1, 1.0, 1.0, 0.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct SequentialLr<A, B> {
    first: A,
    steps: u64,
    next: B,
}

impl<A, B> SequentialLr<A, B> {
    pub(super) fn new(first: A, steps: u64, next: B) -> Self {
        Self { first, steps, next }
    }
}

impl<A: Schedule, B: Schedule> Schedule for SequentialLr<A, B> {
    fn factor(&self, step: u64) -> f64 {
        match step.checked_sub(self.steps) {
            None => self.first.factor(step),
            Some(step) => self.next.factor(step),
        }
    }

    fn rate(&self, initial: f64, step: u64) -> f64 {
        match step.checked_sub(self.steps) {
            None => self.first.rate(initial, step),
            Some(step) => self.next.rate(initial, step),
        }
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        match step.checked_sub(self.steps) {
            None => self.first.momentum(step),
            Some(step) => self.next.momentum(step),
        }
    }

    fn validate(&self) -> Result<()> {
        at_least_one_step("SequentialLr", "its first part", self.steps)?;
        self.first.validate()?;
        self.next.validate()
    }
}
