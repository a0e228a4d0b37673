//! The curves that schedules are made of.
//!
//! Operations are in the order of PyTorch's, for the last bit's sake: `π·t/T` is not `π·(t/T)`.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The factor at `step` of a straight warm-up of `steps` from `start` to 1.
pub(super) fn ramp(start: f64, step: u64, steps: u64) -> f64 {
    if step >= steps {
        return 1.0;
    }
    start + (1.0 - start) * step as f64 / steps as f64
}

/// Half a cosine from `from`, at step 0, to `to`, at step `steps`.
pub(super) fn fall(from: f64, to: f64, step: u64, steps: u64) -> f64 {
    to + (from - to) * (1.0 + (PI * step as f64 / steps as f64).cos()) / 2.0
}

/// How a [`OneCycleLr`](super::OneCycleLr) or a [`WarmupStableDecayLr`](super::WarmupStableDecayLr) goes from one rate to
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// In a straight line.
    Linear,
    /// Along half a cosine: slowly at both ends.
    Cosine,
    /// As `1 - √part` downwards, fast at first; upwards the same in a mirror. After Hägele et al., "Scaling Laws and
    /// Compute-Optimal Training Beyond Fixed Training Durations" (`NeurIPS` 2024).
    OneMinusSqrt,
}

impl Curve {
    /// From 1 to 0 as `part` goes from 0 to 1.
    pub(super) fn down(self, part: f64) -> f64 {
        match self {
            Self::Linear => 1.0 - part,
            Self::Cosine => 0.5 * (1.0 + (PI * part).cos()),
            Self::OneMinusSqrt => 1.0 - part.sqrt(),
        }
    }

    /// From 0 to 1 as `part` goes from 0 to 1.
    pub(super) fn up(self, part: f64) -> f64 {
        match self {
            Self::Linear => part,
            Self::Cosine => 0.5 * (1.0 - (PI * part).cos()),
            Self::OneMinusSqrt => 1.0 - (1.0 - part).sqrt(),
        }
    }

    /// From one value to another, as PyTorch's `OneCycleLR` goes.
    pub(super) fn between(self, from: f64, to: f64, part: f64) -> f64 {
        match self {
            Self::Linear => (to - from) * part + from,
            Self::Cosine => to + (from - to) / 2.0 * ((PI * part).cos() + 1.0),
            Self::OneMinusSqrt => to + (from - to) * self.down(part),
        }
    }
}
