//! Down a power of the time that is left.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::ramp;
use super::numbers::{above_zero, at_least_one_step, from_zero_to_one, room_after_warmup};
use crate::error::Result;

/// Down as a power of the part of the steps that is left, in a straight line unless [`power`](Self::power) says otherwise,
/// to an end, where it stays: `torch.optim.lr_scheduler.PolynomialLR`. With a [warm-up](Self::warmup) it is
/// `get_linear_schedule_with_warmup` of Transformers, or `get_polynomial_decay_schedule_with_warmup`, whose `lr_end` is
/// the [end factor](Self::end_factor) times the learning rate.
///
/// ```
/// use trainloop::schedule::{PolynomialLr, Schedule};
///
/// let linear = PolynomialLr::new(1_000).warmup(100);
/// assert_eq!([0, 50, 100, 550, 1_000, 2_000].map(|step| linear.factor(step)), [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]);
/// let square = PolynomialLr::new(10).power(2.0).end_factor(0.5);
/// assert_eq!([0, 5, 10].map(|step| square.factor(step)), [1.0, 0.625, 0.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct PolynomialLr {
    total_steps: u64,
    power: f64,
    warmup_steps: u64,
    start_factor: f64,
    end_factor: f64,
}

impl PolynomialLr {
    /// At the end after so many steps, the warm-up's among them. Without more it goes from 1 to 0 in a straight line.
    pub fn new(total_steps: u64) -> Self {
        Self { total_steps, power: 1.0, warmup_steps: 0, start_factor: 0.0, end_factor: 0.0 }
    }

    /// The power of the part that is left, above 0; 1 unless said otherwise.
    pub fn power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }

    /// Goes up to 1 in a straight line for so many steps first, fewer than all.
    pub fn warmup(mut self, steps: u64) -> Self {
        self.warmup_steps = steps;
        self
    }

    /// The factor of the [warm-up](Self::warmup)'s first step, from 0 to 1; 0 unless said otherwise.
    pub fn start_factor(mut self, factor: f64) -> Self {
        self.start_factor = factor;
        self
    }

    /// The factor at the end, from 0 to 1; 0 unless said otherwise.
    pub fn end_factor(mut self, factor: f64) -> Self {
        self.end_factor = factor;
        self
    }
}

impl Schedule for PolynomialLr {
    fn factor(&self, step: u64) -> f64 {
        self.rate(1.0, step)
    }

    fn rate(&self, initial: f64, step: u64) -> f64 {
        if step < self.warmup_steps {
            return initial * ramp(self.start_factor, step, self.warmup_steps);
        }
        let end = self.end_factor * initial;
        if step >= self.total_steps {
            return end;
        }
        let part = (step - self.warmup_steps) as f64 / (self.total_steps - self.warmup_steps) as f64;
        (initial - end) * (1.0 - part).powf(self.power) + end
    }

    fn validate(&self) -> Result<()> {
        at_least_one_step("PolynomialLr", "its length", self.total_steps)?;
        room_after_warmup("PolynomialLr", "the decay", self.warmup_steps, self.total_steps)?;
        above_zero("PolynomialLr", "the power", self.power)?;
        from_zero_to_one("PolynomialLr", "the start factor", self.start_factor)?;
        from_zero_to_one("PolynomialLr", "the end factor", self.end_factor)
    }
}
