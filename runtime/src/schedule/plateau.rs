//! Down when a metric stops getting better.

use serde::{Deserialize, Serialize};

use super::numbers::at_least_zero;
use crate::error::{Error, Result};
use crate::optim::{Group, Optimizer, Rule};

/// Multiplies the learning rates by a factor when a metric has not got better for a while:
/// `torch.optim.lr_scheduler.ReduceLROnPlateau`. What is not set is PyTorch's default.
///
/// Call [`step`](PlateauScheduler::step) after each validation. With several workers give every rank the same metric, such as
/// one from `ctx.all_reduce`; otherwise their rates part.
///
/// ```no_run
/// use trainloop::prelude::*;
///
/// # fn main() -> trainloop::Result<()> {
/// # let vars = tch::nn::VarStore::new(tch::Device::Cpu);
/// # let validate = || 0.5;
/// let mut optimizer = Sgd::builder(0.1).build(&vars)?;
/// let mut plateau = ReduceOnPlateau::new().patience(2).min_lr(1e-4).attach(&optimizer)?;
/// for epoch in 0..100 {
///     // … train …
///     let val_loss = validate();
///     plateau.step(val_loss, &mut optimizer)?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a schedule does nothing before `attach`"]
pub struct ReduceOnPlateau {
    better: Better,
    factor: f64,
    patience: u64,
    threshold: Threshold,
    cooldown: u64,
    min_lr: f64,
    eps: f64,
}

/// Which of two values of a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// The smaller one, as of a loss.
    Min,
    /// The greater one, as of an accuracy.
    Max,
}

/// How much better than the best a value must be to count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// A part of the best value: PyTorch's `rel`.
    Relative(f64),
    /// A distance from it: PyTorch's `abs`.
    Absolute(f64),
}

impl Default for ReduceOnPlateau {
    fn default() -> Self {
        Self::new()
    }
}

impl ReduceOnPlateau {
    /// A tenth after more than 10 steps in which a metric that should fall has not fallen by a ten-thousandth of the best.
    pub fn new() -> Self {
        Self {
            better: Better::Min,
            factor: 0.1,
            patience: 10,
            threshold: Threshold::Relative(1e-4),
            cooldown: 0,
            min_lr: 0.0,
            eps: 1e-8,
        }
    }

    /// Which value is better: the smaller one, unless said otherwise. PyTorch's `mode`.
    pub fn better(mut self, better: Better) -> Self {
        self.better = better;
        self
    }

    /// What the rates are multiplied by, below 1; 0.1 unless said otherwise.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// So many steps in a row may be without a better value; the next such one reduces. 10 unless said otherwise.
    pub fn patience(mut self, steps: u64) -> Self {
        self.patience = steps;
        self
    }

    /// How much better counts; a ten-thousandth of the best, unless said otherwise.
    pub fn threshold(mut self, threshold: Threshold) -> Self {
        self.threshold = threshold;
        self
    }

    /// For so many steps after a reduction no step counts as a bad one; 0 unless said otherwise.
    pub fn cooldown(mut self, steps: u64) -> Self {
        self.cooldown = steps;
        self
    }

    /// No rate is taken below this; 0 unless said otherwise.
    pub fn min_lr(mut self, lr: f64) -> Self {
        self.min_lr = lr;
        self
    }

    /// A reduction by no more than this is left out; 1e-8 unless said otherwise.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Begins to watch. The optimizer's rates stay as they are.
    ///
    /// # Errors
    /// [`Error::Config`] where a number cannot be right, or the least rate is above that of a group.
    pub fn attach<R: Rule>(self, optimizer: &Optimizer<R>) -> Result<PlateauScheduler> {
        self.validate()?;
        if let Some(group) = optimizer.groups().iter().find(|group| group.learning_rate() < self.min_lr) {
            return Err(Error::config(format!(
                "{NAME}: min_lr is {}, above the learning rate {} of group `{}`, which could never be reduced; give less",
                self.min_lr,
                Group::learning_rate(group),
                group.name()
            )));
        }
        Ok(PlateauScheduler(PlateauState { plateau: self, best: None, bad_steps: 0, cooldown_left: 0, steps: 0 }))
    }

    fn validate(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.factor) {
            return Err(Error::config(format!("{NAME}: factor is {}; it must be at least 0 and below 1", self.factor)));
        }
        at_least_zero(NAME, "min_lr", self.min_lr)?;
        at_least_zero(NAME, "eps", self.eps)?;
        let (Threshold::Relative(threshold) | Threshold::Absolute(threshold)) = self.threshold;
        at_least_zero(NAME, "threshold", threshold)?;
        if self.better == Better::Min && matches!(self.threshold, Threshold::Relative(part) if part >= 1.0) {
            return Err(Error::config(format!(
                "{NAME}: a relative threshold of {threshold} asks a loss to fall by all of itself; give less than 1"
            )));
        }
        Ok(())
    }

    /// True where `value` is so much better than the best. NaN never is.
    fn is_better(&self, value: f64, best: Option<f64>) -> bool {
        match (self.better, self.threshold) {
            (Better::Min, Threshold::Relative(part)) => value < best.unwrap_or(f64::INFINITY) * (1.0 - part),
            (Better::Min, Threshold::Absolute(distance)) => value < best.unwrap_or(f64::INFINITY) - distance,
            (Better::Max, Threshold::Relative(part)) => value > best.unwrap_or(f64::NEG_INFINITY) * (part + 1.0),
            (Better::Max, Threshold::Absolute(distance)) => value > best.unwrap_or(f64::NEG_INFINITY) + distance,
        }
    }
}

const NAME: &str = "ReduceOnPlateau";

/// A [`ReduceOnPlateau`] at work, from [`ReduceOnPlateau::attach`]. Save it in a checkpoint beside the optimizer, whose
/// state the learning rates are part of.
#[derive(Debug, Clone, PartialEq)]
pub struct PlateauScheduler(PlateauState);

/// What a [`PlateauScheduler`] knows; from [`PlateauScheduler::state`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlateauState {
    /// The schedule, with its numbers.
    pub plateau: ReduceOnPlateau,
    /// The best value; none before the first.
    pub best: Option<f64>,
    /// How many steps in a row were without a better value.
    pub bad_steps: u64,
    /// How many steps of the cooldown are left.
    pub cooldown_left: u64,
    /// How many steps were taken.
    pub steps: u64,
}

impl PlateauScheduler {
    /// Takes the metric's value of this step, and reduces the learning rates where it is time; true where it has. A value
    /// that is NaN is no better one.
    ///
    /// # Errors
    /// Those of [`Optimizer::set_learning_rate`]; nothing is changed then.
    pub fn step<R: Rule>(&mut self, value: f64, optimizer: &mut Optimizer<R>) -> Result<bool> {
        let PlateauState { plateau, mut best, mut bad_steps, mut cooldown_left, steps } = self.0;
        if plateau.is_better(value, best) {
            best = Some(value);
            bad_steps = 0;
        } else {
            bad_steps += 1;
        }
        if cooldown_left > 0 {
            cooldown_left -= 1;
            bad_steps = 0;
        }
        let reduces = bad_steps > plateau.patience;
        let mut changed = false;
        if reduces {
            let before: Vec<f64> = optimizer.groups().iter().map(Group::learning_rate).collect();
            optimizer.map_learning_rates(|old| {
                let new = (old * plateau.factor).max(plateau.min_lr);
                if old - new > plateau.eps { new } else { old }
            })?;
            let after = optimizer.groups().iter().map(|group| group.learning_rate().to_bits());
            changed = !before.into_iter().map(f64::to_bits).eq(after);
            cooldown_left = plateau.cooldown;
            bad_steps = 0;
        }
        self.0 = PlateauState { plateau, best, bad_steps, cooldown_left, steps: steps.saturating_add(1) };
        Ok(changed)
    }

    /// The best value so far.
    #[must_use]
    pub fn best(&self) -> Option<f64> {
        self.0.best
    }

    /// How many steps were taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.steps
    }

    /// All that it knows.
    #[must_use]
    pub fn state(&self) -> PlateauState {
        self.0
    }

    /// Takes a state over. The optimizer's learning rates come with the optimizer's own.
    ///
    /// # Errors
    /// [`Error::Config`] where the state is that of a schedule with other numbers; nothing is changed then.
    pub fn load_state(&mut self, state: &PlateauState) -> Result<()> {
        if self.0.plateau != state.plateau {
            return Err(Error::config(format!(
                "the saved schedule is {:?}, and this one is {:?}; build it with the same numbers",
                state.plateau, self.0.plateau
            )));
        }
        self.0 = *state;
        Ok(())
    }
}
