//! `RMSprop`.

use serde::{Deserialize, Serialize};

use super::builder::Builder;
use super::optimizer::Optimizer;
use super::rule::{Batch, Options, Rule, Slot, at_least_zero, below_one, sealed, shared_options};
use crate::c10d::aten;
use crate::error::Result;

/// `RMSprop`: `torch.optim.RMSprop`, after Hinton's lecture 6e of "Neural Networks for Machine Learning" (2012): the gradient,
/// divided by the root of its running mean square. The [centered](Builder::centered) form is that of Graves, "Generating
/// Sequences With Recurrent Neural Networks" (2013).
///
/// ```no_run
/// # fn main() -> trainloop::Result<()> {
/// # let vars = tch::nn::VarStore::new(tch::Device::Cpu);
/// use trainloop::optim::RmsProp;
///
/// let optimizer = RmsProp::builder(1e-2).alpha(0.9).momentum(0.9).centered(true).build(&vars)?;
/// # Ok(())
/// # }
/// ```
pub type RmsProp = Optimizer<RmsPropRule>;

/// The rule of [`RmsProp`].
#[derive(Debug, Clone, Copy)]
pub enum RmsPropRule {}

/// The numbers of one group of [`RmsProp`], by the names of `torch.optim.RMSprop`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RmsPropOptions {
    /// The learning rate.
    pub lr: f64,
    /// How much of the running mean square is kept at a step.
    pub alpha: f64,
    /// Added to the divisor, so that it is never 0.
    pub eps: f64,
    /// The L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// How much of the last velocity is kept; 0 is none.
    pub momentum: f64,
    /// Divides by the root of the variance, not of the mean square.
    pub centered: bool,
    /// Climbs instead of descending.
    pub maximize: bool,
}

impl Options for RmsPropOptions {
    shared_options!();

    fn set_momentum(&mut self, momentum: f64) -> bool {
        self.momentum = momentum;
        true
    }

    fn check(&self) -> Result<(), String> {
        at_least_zero("lr", self.lr)?;
        below_one("alpha", self.alpha)?;
        at_least_zero("eps", self.eps)?;
        at_least_zero("weight_decay", self.weight_decay)?;
        below_one("momentum", self.momentum)
    }
}

impl sealed::Sealed for RmsPropRule {}

impl Rule for RmsPropRule {
    const NAME: &'static str = "RmsProp";

    type Options = RmsPropOptions;

    fn defaults(lr: f64) -> RmsPropOptions {
        let (weight_decay, momentum) = (0.0, 0.0);
        RmsPropOptions { lr, alpha: 0.99, eps: 1e-8, weight_decay, momentum, centered: false, maximize: false }
    }

    fn slots(options: &RmsPropOptions) -> &'static [Slot] {
        const SQUARE: Slot = Slot::LikeParameter("square_avg");
        const BUFFER: Slot = Slot::LikeParameter("momentum_buffer");
        const MEAN: Slot = Slot::LikeParameter("grad_avg");
        match (options.momentum == 0.0, options.centered) {
            (true, false) => &[SQUARE],
            (false, false) => &[SQUARE, BUFFER],
            (true, true) => &[SQUARE, MEAN],
            (false, true) => &[SQUARE, BUFFER, MEAN],
        }
    }

    fn update(options: &RmsPropOptions, batch: &Batch) -> Result<()> {
        let (buffers, means) = match (options.momentum == 0.0, options.centered) {
            (true, false) => (&[][..], &[][..]),
            (false, false) => (batch.slot(1), &[][..]),
            (true, true) => (&[][..], batch.slot(1)),
            (false, true) => (batch.slot(1), batch.slot(2)),
        };
        let step = aten::RmsPropStep {
            lr: options.lr,
            alpha: options.alpha,
            eps: options.eps,
            weight_decay: options.weight_decay,
            momentum: options.momentum,
            centered: options.centered,
            maximize: options.maximize,
        };
        aten::foreach_rmsprop(&batch.parameters, &batch.gradients, batch.slot(0), means, buffers, &step)?;
        Ok(())
    }
}

impl Builder<RmsPropRule> {
    /// How much of the running mean square is kept at a step; 0.99 unless said otherwise.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.options.alpha = alpha;
        self
    }

    /// Added to the divisor, so that it is never 0; 1e-8 unless said otherwise.
    pub fn eps(mut self, eps: f64) -> Self {
        self.options.eps = eps;
        self
    }

    /// How much of the last velocity is kept, below 1; 0 unless said otherwise.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.options.momentum = momentum;
        self
    }

    /// Divides by the root of the variance, not of the mean square; off unless said otherwise.
    pub fn centered(mut self, centered: bool) -> Self {
        self.options.centered = centered;
        self
    }
}
