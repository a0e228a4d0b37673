//! Up to the full learning rate.

use serde::{Deserialize, Serialize};

use super::curve::ramp;
use super::numbers::{at_least_one_step, from_zero_to_one};
use super::{Schedule, SequentialLr};
use crate::error::Result;

/// In a straight line from a start factor to 1, which it reaches after `steps` steps and keeps:
/// `torch.optim.lr_scheduler.LinearLR`, after Goyal et al., "Accurate, Large Minibatch SGD: Training `ImageNet` in 1 Hour"
/// (2017).
///
/// ```
/// use trainloop::schedule::{LinearWarmup, Schedule};
///
/// let schedule = LinearWarmup::new(4).start_factor(0.5);
/// assert_eq!([0, 1, 4, 9].map(|step| schedule.factor(step)), [0.5, 0.625, 1.0, 1.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct LinearWarmup {
    steps: u64,
    start_factor: f64,
}

impl LinearWarmup {
    /// A warm-up of so many steps, from 0 unless [`start_factor`](Self::start_factor) says otherwise. (PyTorch's `LinearLR`
    /// begins at a third.)
    pub fn new(steps: u64) -> Self {
        Self { steps, start_factor: 0.0 }
    }

    /// The factor of the first step, from 0 to 1. With 0 the first step changes nothing.
    pub fn start_factor(mut self, factor: f64) -> Self {
        self.start_factor = factor;
        self
    }

    /// The warm-up, then `next` from its own first step: [`then`](Schedule::then) at the warm-up's end.
    ///
    /// ```
    /// use trainloop::schedule::{ExponentialLr, LinearWarmup, Schedule};
    ///
    /// let schedule = LinearWarmup::new(4).before(ExponentialLr::new(0.5));
    /// assert_eq!([0, 2, 4, 5, 6].map(|step| schedule.factor(step)), [0.0, 0.5, 1.0, 0.5, 0.25]);
    /// ```
    pub fn before<S: Schedule>(self, next: S) -> SequentialLr<Self, S> {
        let steps = self.steps;
        self.then(steps, next)
    }
}

impl Schedule for LinearWarmup {
    fn factor(&self, step: u64) -> f64 {
        ramp(self.start_factor, step, self.steps)
    }

    fn validate(&self) -> Result<()> {
        at_least_one_step("LinearWarmup", "its length", self.steps)?;
        from_zero_to_one("LinearWarmup", "the start factor", self.start_factor)
    }
}
