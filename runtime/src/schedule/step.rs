//! Down by stairs.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::numbers::{at_least_one_step, at_least_zero};
use crate::error::Result;

/// Times `gamma` every so many steps: `torch.optim.lr_scheduler.StepLR`.
///
/// ```
/// use trainloop::schedule::{Schedule, StepLr};
///
/// let schedule = StepLr::new(30, 0.5);
/// assert_eq!([0, 29, 30, 60].map(|step| schedule.factor(step)), [1.0, 1.0, 0.5, 0.25]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct StepLr {
    every: u64,
    gamma: f64,
}

impl StepLr {
    /// Multiplies by `gamma` after every `every` steps.
    pub fn new(every: u64, gamma: f64) -> Self {
        Self { every, gamma }
    }
}

impl Schedule for StepLr {
    fn factor(&self, step: u64) -> f64 {
        // `attach` refuses an `every` of 0; here it is a schedule that never falls.
        let stairs = step.checked_div(self.every).unwrap_or(0);
        self.gamma.powf(stairs as f64)
    }

    fn validate(&self) -> Result<()> {
        at_least_one_step("StepLr", "the time between two stairs", self.every)?;
        at_least_zero("StepLr", "gamma", self.gamma)
    }
}
