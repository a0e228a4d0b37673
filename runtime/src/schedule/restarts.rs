//! Down a cosine again and again.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::fall;
use super::numbers::{at_least_one_step, from_zero_to_one};
use crate::error::{Error, Result};

/// Down half a cosine to a minimum, then from the top again: `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`,
/// after Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (ICLR 2017). With
/// [`cycles`](Self::cycles) that divide the steps, after a warm-up, it is
/// `get_cosine_with_hard_restarts_schedule_with_warmup` of Transformers.
///
/// ```
/// use trainloop::schedule::{CosineRestartsLr, Schedule};
///
/// let schedule = CosineRestartsLr::new(10).multiplier(2);
/// let close = |step, expected: f64| (schedule.factor(step) - expected).abs() < 1e-15;
/// assert!(close(0, 1.0) && close(5, 0.5)); // the first cycle takes 10 steps
/// assert!(close(10, 1.0) && close(20, 0.5) && close(30, 1.0)); // the second 20
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct CosineRestartsLr {
    first_cycle: u64,
    multiplier: u64,
    min_factor: f64,
    cycles: Option<u64>,
}

impl CosineRestartsLr {
    /// Restarts after so many steps, for ever.
    pub fn new(first_cycle: u64) -> Self {
        Self { first_cycle, multiplier: 1, min_factor: 0.0, cycles: None }
    }

    /// Each cycle is so many times as long as the one before; 1 unless said otherwise.
    pub fn multiplier(mut self, multiplier: u64) -> Self {
        self.multiplier = multiplier;
        self
    }

    /// The factor at the end of a cycle, from 0 to 1; 0 unless said otherwise. PyTorch's `eta_min` is this times the
    /// learning rate.
    pub fn min_factor(mut self, factor: f64) -> Self {
        self.min_factor = factor;
        self
    }

    /// Stays at the minimum after so many cycles.
    pub fn cycles(mut self, cycles: u64) -> Self {
        self.cycles = Some(cycles);
        self
    }

    /// The step inside its cycle, and the cycle's length; none after the last cycle.
    fn place(&self, step: u64) -> Option<(u64, u64)> {
        // `attach` refuses a length or a multiplier of 0; here they are 1.
        let (mut length, multiplier) = (self.first_cycle.max(1), self.multiplier.max(1));
        let (mut cycle, mut step) = (0, step);
        if multiplier == 1 {
            (cycle, step) = (step / length, step % length);
        } else {
            while step >= length {
                step -= length;
                length = length.saturating_mul(multiplier);
                cycle += 1;
            }
        }
        self.cycles.is_none_or(|cycles| cycle < cycles).then_some((step, length))
    }
}

impl Schedule for CosineRestartsLr {
    fn factor(&self, step: u64) -> f64 {
        self.rate(1.0, step)
    }

    fn rate(&self, initial: f64, step: u64) -> f64 {
        let minimum = self.min_factor * initial;
        self.place(step).map_or(minimum, |(step, length)| fall(initial, minimum, step, length))
    }

    fn validate(&self) -> Result<()> {
        at_least_one_step("CosineRestartsLr", "its first cycle", self.first_cycle)?;
        if self.multiplier == 0 {
            return Err(Error::config(
                "CosineRestartsLr: the multiplier is 0; give at least 1, which keeps the length",
            ));
        }
        if self.cycles == Some(0) {
            return Err(Error::config("CosineRestartsLr: it has 0 cycles; give it at least 1"));
        }
        from_zero_to_one("CosineRestartsLr", "the minimum factor", self.min_factor)
    }
}
