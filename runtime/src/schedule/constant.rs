//! One factor.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::numbers::{at_least_one_step, at_least_zero};
use crate::error::Result;

/// One factor, for ever or [for some steps](Self::steps): `torch.optim.lr_scheduler.ConstantLR`.
///
/// ```
/// use trainloop::schedule::{ConstantLr, Schedule};
///
/// let schedule = ConstantLr::new(0.5).steps(3);
/// assert_eq!([0, 2, 3].map(|step| schedule.factor(step)), [0.5, 0.5, 1.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct ConstantLr {
    factor: f64,
    steps: Option<u64>,
}

impl ConstantLr {
    /// The factor `factor`, for ever; with 1 the learning rate stays the optimizer's.
    pub fn new(factor: f64) -> Self {
        Self { factor, steps: None }
    }

    /// The factor is 1 after so many steps.
    pub fn steps(mut self, steps: u64) -> Self {
        self.steps = Some(steps);
        self
    }
}

impl Schedule for ConstantLr {
    fn factor(&self, step: u64) -> f64 {
        if self.steps.is_some_and(|steps| step >= steps) { 1.0 } else { self.factor }
    }

    fn validate(&self) -> Result<()> {
        at_least_zero("ConstantLr", "the factor", self.factor)?;
        self.steps.map_or(Ok(()), |steps| at_least_one_step("ConstantLr", "its length", steps))
    }
}
