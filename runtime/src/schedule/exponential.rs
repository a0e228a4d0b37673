//! Down by one factor a step.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::numbers::at_least_zero;
use crate::error::Result;

/// Times `gamma` every step: `torch.optim.lr_scheduler.ExponentialLR`.
///
/// ```
/// use trainloop::schedule::{ExponentialLr, Schedule};
///
/// assert_eq!([0, 1, 2].map(|step| ExponentialLr::new(0.5).factor(step)), [1.0, 0.5, 0.25]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct ExponentialLr {
    gamma: f64,
}

impl ExponentialLr {
    /// Multiplies by `gamma` after every step.
    pub fn new(gamma: f64) -> Self {
        Self { gamma }
    }
}

impl Schedule for ExponentialLr {
    fn factor(&self, step: u64) -> f64 {
        self.gamma.powf(step as f64)
    }

    fn validate(&self) -> Result<()> {
        at_least_zero("ExponentialLr", "gamma", self.gamma)
    }
}
