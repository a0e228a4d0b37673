//! Adagrad.

use serde::{Deserialize, Serialize};

use super::builder::Builder;
use super::optimizer::Optimizer;
use super::rule::{Batch, Options, Rule, Slot, at_least_zero, sealed, shared_options};
use crate::c10d::aten;
use crate::error::Result;

/// Adagrad: `torch.optim.Adagrad`, after Duchi et al., "Adaptive Subgradient Methods for Online Learning and Stochastic
/// Optimization" (JMLR 2011): the gradient, divided by the root of the sum of all squares so far.
///
/// ```no_run
/// # fn main() -> trainloop::Result<()> {
/// # let vars = tch::nn::VarStore::new(tch::Device::Cpu);
/// use trainloop::optim::Adagrad;
///
/// let optimizer = Adagrad::builder(1e-2).lr_decay(1e-4).initial_accumulator_value(0.1).build(&vars)?;
/// # Ok(())
/// # }
/// ```
pub type Adagrad = Optimizer<AdagradRule>;

/// The rule of [`Adagrad`].
#[derive(Debug, Clone, Copy)]
pub enum AdagradRule {}

/// The numbers of one group of [`Adagrad`], by the names of `torch.optim.Adagrad`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AdagradOptions {
    /// The learning rate.
    pub lr: f64,
    /// The learning rate is divided by 1 plus this times the steps taken.
    pub lr_decay: f64,
    /// The L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// What the sum of squares begins at.
    pub initial_accumulator_value: f64,
    /// Added to the divisor, so that it is never 0.
    pub eps: f64,
    /// Climbs instead of descending.
    pub maximize: bool,
}

impl Options for AdagradOptions {
    shared_options!();

    fn set_momentum(&mut self, _: f64) -> bool {
        false
    }

    fn check(&self) -> Result<(), String> {
        at_least_zero("lr", self.lr)?;
        at_least_zero("lr_decay", self.lr_decay)?;
        at_least_zero("weight_decay", self.weight_decay)?;
        at_least_zero("initial_accumulator_value", self.initial_accumulator_value)?;
        at_least_zero("eps", self.eps)
    }
}

/// The places of the slots in a batch.
const STEP: usize = 0;
const SUM: usize = 1;

impl sealed::Sealed for AdagradRule {}

impl Rule for AdagradRule {
    const NAME: &'static str = "Adagrad";

    type Options = AdagradOptions;

    fn defaults(lr: f64) -> AdagradOptions {
        let (lr_decay, weight_decay, initial_accumulator_value) = (0.0, 0.0, 0.0);
        AdagradOptions { lr, lr_decay, weight_decay, initial_accumulator_value, eps: 1e-10, maximize: false }
    }

    fn slots(_: &AdagradOptions) -> &'static [Slot] {
        &[Slot::Counter("step"), Slot::LikeParameter("sum")]
    }

    fn update(options: &AdagradOptions, batch: &Batch) -> Result<()> {
        if batch.is_first_step && options.initial_accumulator_value != 0.0 {
            aten::foreach_add(batch.slot(SUM), options.initial_accumulator_value)?;
        }
        aten::foreach_add(batch.slot(STEP), 1.0)?;
        let step = aten::AdagradStep {
            lr: options.lr,
            lr_decay: options.lr_decay,
            weight_decay: options.weight_decay,
            eps: options.eps,
            maximize: options.maximize,
        };
        aten::fused_adagrad(&batch.parameters, &batch.gradients, batch.slot(SUM), batch.slot(STEP), &step)?;
        Ok(())
    }
}

impl Builder<AdagradRule> {
    /// The learning rate is divided by 1 plus this times the steps taken; 0 unless said otherwise.
    pub fn lr_decay(mut self, lr_decay: f64) -> Self {
        self.options.lr_decay = lr_decay;
        self
    }

    /// What the sum of squares begins at; 0 unless said otherwise.
    pub fn initial_accumulator_value(mut self, value: f64) -> Self {
        self.options.initial_accumulator_value = value;
        self
    }

    /// Added to the divisor, so that it is never 0; 1e-10 unless said otherwise.
    pub fn eps(mut self, eps: f64) -> Self {
        self.options.eps = eps;
        self
    }
}
