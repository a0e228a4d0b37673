//! Down by stairs at chosen steps.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::numbers::at_least_zero;
use crate::error::{Error, Result};

/// Times `gamma` at each milestone: `torch.optim.lr_scheduler.MultiStepLR`.
///
/// ```
/// use trainloop::schedule::{MultiStepLr, Schedule};
///
/// let schedule = MultiStepLr::new([30, 80], 0.5);
/// assert_eq!([0, 29, 30, 79, 80].map(|step| schedule.factor(step)), [1.0, 1.0, 0.5, 0.5, 0.25]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct MultiStepLr {
    milestones: Vec<u64>,
    gamma: f64,
}

impl MultiStepLr {
    /// Multiplies by `gamma` after so many steps, given in rising order.
    pub fn new(milestones: impl IntoIterator<Item = u64>, gamma: f64) -> Self {
        Self { milestones: milestones.into_iter().collect(), gamma }
    }
}

impl Schedule for MultiStepLr {
    fn factor(&self, step: u64) -> f64 {
        let passed = self.milestones.partition_point(|&milestone| milestone <= step);
        self.gamma.powf(passed as f64)
    }

    fn validate(&self) -> Result<()> {
        if self.milestones.is_empty() {
            return Err(Error::config("MultiStepLr: there is no milestone; give at least one, or use ConstantLr"));
        }
        let mut pairs = self.milestones.iter().zip(self.milestones.iter().skip(1));
        if let Some((before, milestone)) = pairs.find(|(before, next)| before >= next) {
            return Err(Error::config(format!(
                "MultiStepLr: the milestone {milestone} comes after {before}; give each once, in rising order"
            )));
        }
        at_least_zero("MultiStepLr", "gamma", self.gamma)
    }
}
