//! Down a cosine.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::{fall, ramp};
use super::numbers::{at_least_one_step, from_zero_to_one, room_after_warmup};
use crate::error::Result;

/// Down half a cosine to a minimum, where it stays: `torch.optim.lr_scheduler.CosineAnnealingLR`, after Loshchilov &
/// Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (ICLR 2017), without the restarts. With a
/// [warm-up](Self::warmup) it is PyTorch's `SequentialLR` of `LinearLR` and that, and with a minimum of 0
/// `get_cosine_schedule_with_warmup` of Transformers.
///
/// ```
/// use trainloop::schedule::{CosineLr, Schedule};
///
/// let schedule = CosineLr::new(1_000).warmup(100).min_factor(0.1);
/// assert_eq!([0, 50, 100, 1_000, 2_000].map(|step| schedule.factor(step)), [0.0, 0.5, 1.0, 0.1, 0.1]);
/// assert!((schedule.factor(550) - 0.55).abs() < 1e-15);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct CosineLr {
    total_steps: u64,
    warmup_steps: u64,
    start_factor: f64,
    min_factor: f64,
}

impl CosineLr {
    /// At the minimum after so many steps, the warm-up's among them. Without more it begins at 1 and ends at 0.
    pub fn new(total_steps: u64) -> Self {
        Self { total_steps, warmup_steps: 0, start_factor: 0.0, min_factor: 0.0 }
    }

    /// Goes up to 1 in a straight line for so many steps first, fewer than all. It begins at 0 unless
    /// [`start_factor`](Self::start_factor) says otherwise.
    pub fn warmup(mut self, steps: u64) -> Self {
        self.warmup_steps = steps;
        self
    }

    /// The factor of the [warm-up](Self::warmup)'s first step, from 0 to 1. With 0, the default, that step changes nothing.
    pub fn start_factor(mut self, factor: f64) -> Self {
        self.start_factor = factor;
        self
    }

    /// The factor at the end, from 0 to 1; 0 unless said otherwise. PyTorch's `eta_min` is this times the learning rate.
    pub fn min_factor(mut self, factor: f64) -> Self {
        self.min_factor = factor;
        self
    }
}

impl Schedule for CosineLr {
    fn factor(&self, step: u64) -> f64 {
        self.rate(1.0, step)
    }

    fn rate(&self, initial: f64, step: u64) -> f64 {
        if step < self.warmup_steps {
            return initial * ramp(self.start_factor, step, self.warmup_steps);
        }
        let minimum = self.min_factor * initial;
        if step >= self.total_steps {
            return minimum;
        }
        fall(initial, minimum, step - self.warmup_steps, self.total_steps - self.warmup_steps)
    }

    fn validate(&self) -> Result<()> {
        at_least_one_step("CosineLr", "its length", self.total_steps)?;
        room_after_warmup("CosineLr", "the cosine", self.warmup_steps, self.total_steps)?;
        from_zero_to_one("CosineLr", "the start factor", self.start_factor)?;
        from_zero_to_one("CosineLr", "the minimum factor", self.min_factor)
    }
}
