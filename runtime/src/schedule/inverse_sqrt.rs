//! Down with the inverse square root.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::ramp;
use super::numbers::at_least_one_step;
use crate::error::Result;

/// Up to 1 in a straight line, then down with the inverse square root of the steps, for ever:
/// `get_inverse_sqrt_schedule` of Transformers. With as long a timescale as warm-up, which is the default, its shape is that of
/// Vaswani et al., "Attention Is All You Need" (2017).
///
/// ```
/// use trainloop::schedule::{InverseSqrtLr, Schedule};
///
/// let schedule = InverseSqrtLr::new(100);
/// assert_eq!([0, 50, 100, 400].map(|step| schedule.factor(step)), [0.0, 0.5, 1.0, 0.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct InverseSqrtLr {
    warmup_steps: u64,
    timescale: u64,
}

impl InverseSqrtLr {
    /// The timescale where there is no warm-up to take it from: Transformers'.
    const TIMESCALE: u64 = 10_000;

    /// A warm-up from 0 in so many steps, then down. Without a warm-up the [`timescale`](Self::timescale) is 10 000 steps.
    pub fn new(warmup_steps: u64) -> Self {
        Self { warmup_steps, timescale: if warmup_steps == 0 { Self::TIMESCALE } else { warmup_steps } }
    }

    /// After three times as many steps from the top on, the factor is a half.
    pub fn timescale(mut self, steps: u64) -> Self {
        self.timescale = steps;
        self
    }
}

impl Schedule for InverseSqrtLr {
    fn factor(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return ramp(0.0, step, self.warmup_steps);
        }
        let shifted = (step - self.warmup_steps).saturating_add(self.timescale);
        1.0 / (shifted as f64 / self.timescale as f64).sqrt()
    }

    fn validate(&self) -> Result<()> {
        at_least_one_step("InverseSqrtLr", "its timescale", self.timescale)
    }
}
