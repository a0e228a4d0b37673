//! Up, and far down, with the momentum against it.

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::curve::Curve;
use super::numbers::{above_zero, at_least_one_step};
use crate::error::{Error, Result};

/// Up from a small rate to the optimizer's own, and down to a far smaller one, while the momentum goes the other way:
/// `torch.optim.lr_scheduler.OneCycleLR`, after Smith & Topin, "Super-Convergence: Very Fast Training of Neural Networks
/// Using Large Learning Rates" (2018). The optimizer's learning rate is PyTorch's `max_lr`.
///
/// The momentum is that of [`Sgd`](crate::optim::Sgd) and [`RmsProp`](crate::optim::RmsProp), and the first of `betas` of
/// [`Adam`](crate::optim::Adam), [`AdamW`](crate::optim::AdamW) and [`Lion`](crate::optim::Lion). For
/// [`Adagrad`](crate::optim::Adagrad), which has none, build it with [`fixed_momentum`](Self::fixed_momentum).
///
/// ```
/// use trainloop::schedule::{Curve, OneCycleLr, Schedule};
///
/// let schedule = OneCycleLr::new(101).pct_start(0.5).curve(Curve::Linear).div_factor(4.0).final_div_factor(8.0);
/// let close = |found: f64, expected: f64| (found - expected).abs() < 1e-15;
/// assert!(close(schedule.factor(0), 0.25) && close(schedule.factor(100), 0.03125));
/// assert!(close(schedule.momentum(0).unwrap(), 0.95) && close(schedule.momentum(100).unwrap(), 0.95));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct OneCycleLr {
    total_steps: u64,
    pct_start: f64,
    curve: Curve,
    /// The least and the greatest.
    momentum: Option<(f64, f64)>,
    div_factor: f64,
    final_div_factor: f64,
    three_phase: bool,
}

/// Where the cycle is at a step: between the first and the second of each pair, at this part of the way.
struct Place {
    factors: (Level, Level),
    momentum: (Level, Level),
    part: f64,
}

/// A rate or a momentum that a phase begins or ends with.
#[derive(Clone, Copy)]
enum Level {
    /// The first rate; for the momentum, the least.
    Low,
    /// The greatest.
    High,
    /// The last rate.
    Last,
}

impl OneCycleLr {
    /// The cycle takes so many steps; after them it stays where it ended. Without more it is PyTorch's default: up along a
    /// cosine for 30 % of the steps, and the momentum between 0.95 and 0.85.
    pub fn new(total_steps: u64) -> Self {
        Self {
            total_steps,
            pct_start: 0.3,
            curve: Curve::Cosine,
            momentum: Some((0.85, 0.95)),
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
        }
    }

    /// The part of the steps that goes up, from 0 to 1; 0.3 unless said otherwise.
    pub fn pct_start(mut self, part: f64) -> Self {
        self.pct_start = part;
        self
    }

    /// The way up and down: [`Curve::Cosine`] unless said otherwise; PyTorch's other one is [`Curve::Linear`].
    pub fn curve(mut self, curve: Curve) -> Self {
        self.curve = curve;
        self
    }

    /// The least momentum, at the greatest rate, and the greatest, at both ends; 0.85 and 0.95 unless said otherwise.
    pub fn momentum_range(mut self, base: f64, max: f64) -> Self {
        self.momentum = Some((base, max));
        self
    }

    /// Leaves the momentum alone: PyTorch's `cycle_momentum=False`.
    pub fn fixed_momentum(mut self) -> Self {
        self.momentum = None;
        self
    }

    /// The first rate is the optimizer's, divided by this; 25 unless said otherwise.
    pub fn div_factor(mut self, factor: f64) -> Self {
        self.div_factor = factor;
        self
    }

    /// The last rate is the first, divided by this; 10 000 unless said otherwise.
    pub fn final_div_factor(mut self, factor: f64) -> Self {
        self.final_div_factor = factor;
        self
    }

    /// Goes down to the first rate in as many steps as it went up, and only then to the last; off unless said otherwise.
    pub fn three_phase(mut self, three_phase: bool) -> Self {
        self.three_phase = three_phase;
        self
    }

    fn place(&self, step: u64) -> Place {
        use Level::{High, Last, Low};
        let last = self.total_steps.saturating_sub(1);
        let (step, last) = (step.min(last) as f64, last as f64);
        let up = self.pct_start * self.total_steps as f64 - 1.0;
        let phase = |from: f64, to: f64, factors: (Level, Level), momentum: (Level, Level)| {
            // A phase of no length is over at once.
            let part = if to > from { (step - from) / (to - from) } else { 1.0 };
            Place { factors, momentum, part }
        };
        if step <= up {
            return phase(0.0, up, (Low, High), (High, Low));
        }
        if !self.three_phase {
            return phase(up, last, (High, Last), (Low, High));
        }
        let down = 2.0 * self.pct_start * self.total_steps as f64 - 2.0;
        if step <= down {
            return phase(up, down, (High, Low), (Low, High));
        }
        phase(down, last, (Low, Last), (High, High))
    }
}

impl Schedule for OneCycleLr {
    fn factor(&self, step: u64) -> f64 {
        self.rate(1.0, step)
    }

    fn rate(&self, initial: f64, step: u64) -> f64 {
        let place = self.place(step);
        let first = initial / self.div_factor;
        let level = |level| match level {
            Level::Low => first,
            Level::High => initial,
            Level::Last => first / self.final_div_factor,
        };
        let (from, to) = place.factors;
        self.curve.between(level(from), level(to), place.part)
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        let (base, max) = self.momentum?;
        let place = self.place(step);
        let level = |level| if matches!(level, Level::High) { max } else { base };
        let (from, to) = place.momentum;
        Some(self.curve.between(level(from), level(to), place.part))
    }

    fn validate(&self) -> Result<()> {
        const NAME: &str = "OneCycleLr";
        at_least_one_step(NAME, "its length", self.total_steps)?;
        let half = if self.three_phase { 0.5 } else { 1.0 };
        if !(0.0..=half).contains(&self.pct_start) {
            return Err(Error::config(format!(
                "{NAME}: pct_start is {}; it must be from 0 to {half}, a part of the {} steps{}",
                self.pct_start,
                self.total_steps,
                if self.three_phase { " that leaves as many to come down again" } else { "" }
            )));
        }
        for (name, factor) in [("div_factor", self.div_factor), ("final_div_factor", self.final_div_factor)] {
            above_zero(NAME, name, factor)?;
        }
        let Some((base, max)) = self.momentum else { return Ok(()) };
        if !(0.0 < base && base <= max && max < 1.0) {
            return Err(Error::config(format!(
                "{NAME}: the momentum goes between {base} and {max}; both must be above 0 and below 1, the least first"
            )));
        }
        Ok(())
    }
}
