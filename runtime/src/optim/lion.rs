//! Lion.

use serde::{Deserialize, Serialize};

use super::builder::Builder;
use super::optimizer::Optimizer;
use super::rule::{Batch, Options, Rule, Slot, at_least_zero, below_one, sealed, shared_options};
use crate::c10d::aten;
use crate::error::Result;

/// Lion, after Chen et al., "Symbolic Discovery of Optimization Algorithms" (`NeurIPS` 2023, arXiv 2302.06675, algorithm 2):
/// the sign of a mean of gradient and momentum, so that every weight moves by the learning rate. PyTorch has none. Weight
/// decay is taken from the weights themselves. The paper advises a learning rate 3 to 10 times smaller than for
/// [`AdamW`](super::AdamW), and a weight decay as many times larger.
///
/// ```no_run
/// # fn main() -> trainloop::Result<()> {
/// # let vars = tch::nn::VarStore::new(tch::Device::Cpu);
/// use trainloop::optim::Lion;
///
/// let optimizer = Lion::builder(1e-4).weight_decay(0.1).betas(0.95, 0.98).build(&vars)?;
/// # Ok(())
/// # }
/// ```
pub type Lion = Optimizer<LionRule>;

/// The rule of [`Lion`].
#[derive(Debug, Clone, Copy)]
pub enum LionRule {}

/// The numbers of one group of [`Lion`], by the names of the authors' own implementation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LionOptions {
    /// The learning rate.
    pub lr: f64,
    /// How much of the momentum is in the direction of a step, and how much of it is kept for the next one.
    pub betas: (f64, f64),
    /// The part of the weights, times `lr`, that is taken away.
    pub weight_decay: f64,
    /// Climbs instead of descending.
    pub maximize: bool,
}

impl Options for LionOptions {
    shared_options!();

    fn set_momentum(&mut self, momentum: f64) -> bool {
        self.betas.0 = momentum;
        true
    }

    fn check(&self) -> Result<(), String> {
        at_least_zero("lr", self.lr)?;
        at_least_zero("weight_decay", self.weight_decay)?;
        below_one("the first of betas", self.betas.0)?;
        below_one("the second of betas", self.betas.1)
    }
}

impl sealed::Sealed for LionRule {}

impl Rule for LionRule {
    const NAME: &'static str = "Lion";

    type Options = LionOptions;

    fn defaults(lr: f64) -> LionOptions {
        LionOptions { lr, betas: (0.9, 0.99), weight_decay: 0.0, maximize: false }
    }

    fn slots(_: &LionOptions) -> &'static [Slot] {
        &[Slot::LikeParameter("exp_avg")]
    }

    fn update(options: &LionOptions, batch: &Batch) -> Result<()> {
        let step = aten::LionStep {
            lr: options.lr,
            beta1: options.betas.0,
            beta2: options.betas.1,
            weight_decay: options.weight_decay,
            maximize: options.maximize,
        };
        aten::foreach_lion(&batch.parameters, &batch.gradients, batch.slot(0), &step)?;
        Ok(())
    }
}

impl Builder<LionRule> {
    /// How much of the momentum is in the direction of a step, and how much of it is kept for the next one; 0.9 and 0.99
    /// unless said otherwise.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        self.options.betas = (beta1, beta2);
        self
    }
}
