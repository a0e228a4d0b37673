//! Up, along, down.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::Curve;
use super::numbers::from_zero_to_one;
use crate::error::{Error, Result};

/// Up to 1, there for long, and down to a minimum at the end: `get_wsd_schedule` of Transformers, after Hu et al.,
/// "`MiniCPM`: Unveiling the Potential of Small Language Models with Scalable Training Strategies" (2024). Unlike a cosine
/// it can go on from any point before the decay: a longer run is the same until then.
///
/// ```
/// use trainloop::schedule::{Curve, Schedule, WarmupStableDecayLr};
///
/// let schedule = WarmupStableDecayLr::new(10, 70, 20).decay_curve(Curve::Linear).min_factor(0.5);
/// assert_eq!([0, 5, 10, 79, 80, 90, 100].map(|step| schedule.factor(step)), [0.5, 0.75, 1.0, 1.0, 1.0, 0.75, 0.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct WarmupStableDecayLr {
    warmup_steps: u64,
    stable_steps: u64,
    decay_steps: u64,
    warmup_curve: Curve,
    decay_curve: Curve,
    min_factor: f64,
}

impl WarmupStableDecayLr {
    /// So many steps of each; after them it stays at the minimum. Without more it begins at 0 in a straight line, and ends
    /// there along a cosine.
    pub fn new(warmup_steps: u64, stable_steps: u64, decay_steps: u64) -> Self {
        Self {
            warmup_steps,
            stable_steps,
            decay_steps,
            warmup_curve: Curve::Linear,
            decay_curve: Curve::Cosine,
            min_factor: 0.0,
        }
    }

    /// The way up; straight unless said otherwise.
    pub fn warmup_curve(mut self, curve: Curve) -> Self {
        self.warmup_curve = curve;
        self
    }

    /// The way down; a cosine unless said otherwise.
    pub fn decay_curve(mut self, curve: Curve) -> Self {
        self.decay_curve = curve;
        self
    }

    /// The factor at both ends, from 0 to 1; 0 unless said otherwise. With 0 the first step changes nothing.
    pub fn min_factor(mut self, factor: f64) -> Self {
        self.min_factor = factor;
        self
    }

    fn above_minimum(&self, part: f64) -> f64 {
        part * (1.0 - self.min_factor) + self.min_factor
    }
}

impl Schedule for WarmupStableDecayLr {
    fn factor(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.above_minimum(self.warmup_curve.up(step as f64 / self.warmup_steps as f64));
        }
        let step = step - self.warmup_steps;
        if step < self.stable_steps {
            return 1.0;
        }
        let step = step - self.stable_steps;
        if step < self.decay_steps {
            return self.above_minimum(self.decay_curve.down(step as f64 / self.decay_steps as f64));
        }
        self.min_factor
    }

    fn validate(&self) -> Result<()> {
        if (self.warmup_steps, self.stable_steps, self.decay_steps) == (0, 0, 0) {
            return Err(Error::config("WarmupStableDecayLr: all three of its lengths are 0 steps; give it at least 1"));
        }
        from_zero_to_one("WarmupStableDecayLr", "the minimum factor", self.min_factor)
    }
}
