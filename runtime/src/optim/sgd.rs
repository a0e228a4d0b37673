//! Stochastic gradient descent.

use serde::{Deserialize, Serialize};

use super::builder::Builder;
use super::optimizer::Optimizer;
use super::rule::{Batch, Options, Rule, Slot, at_least_zero, below_one, sealed, shared_options};
use crate::c10d::aten;
use crate::error::Result;

/// Stochastic gradient descent, with momentum if wished: `torch.optim.SGD`. Momentum and Nesterov's form of it follow
/// Sutskever et al., "On the importance of initialization and momentum in deep learning" (ICML 2013), in PyTorch's
/// variant, where the learning rate multiplies the whole velocity.
///
/// ```no_run
/// use tch::{Device, nn};
/// use trainloop::optim::Sgd;
///
/// # fn main() -> trainloop::Result<()> {
/// let vars = nn::VarStore::new(Device::Cpu);
/// let weight = vars.root().randn("weight", &[3], 0.0, 1.0);
/// let mut optimizer = Sgd::builder(0.1).momentum(0.9).nesterov(true).build(&vars)?;
/// for _ in 0..10 {
///     let loss = weight.square().sum(None);
///     optimizer.backward_step(&loss)?;
/// }
/// # Ok(())
/// # }
/// ```
pub type Sgd = Optimizer<SgdRule>;

/// The rule of [`Sgd`].
#[derive(Debug, Clone, Copy)]
pub enum SgdRule {}

/// The numbers of one group of [`Sgd`], by the names of `torch.optim.SGD`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SgdOptions {
    /// The learning rate.
    pub lr: f64,
    /// How much of the last velocity is kept; 0 is none.
    pub momentum: f64,
    /// How much of the gradient is kept from the velocity.
    pub dampening: f64,
    /// The L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// Steps by the gradient at the place where momentum leads.
    pub nesterov: bool,
    /// Climbs instead of descending.
    pub maximize: bool,
}

impl Options for SgdOptions {
    shared_options!();

    fn set_momentum(&mut self, momentum: f64) -> bool {
        self.momentum = momentum;
        true
    }

    fn check(&self) -> Result<(), String> {
        at_least_zero("lr", self.lr)?;
        below_one("momentum", self.momentum)?;
        at_least_zero("weight_decay", self.weight_decay)?;
        if !self.dampening.is_finite() {
            return Err(format!("dampening is {}; it must be a finite number", self.dampening));
        }
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            return Err(format!(
                "nesterov needs a momentum above 0 and a dampening of 0; they are {} and {}",
                self.momentum, self.dampening
            ));
        }
        Ok(())
    }
}

impl sealed::Sealed for SgdRule {}

impl Rule for SgdRule {
    const NAME: &'static str = "Sgd";

    type Options = SgdOptions;

    fn defaults(lr: f64) -> SgdOptions {
        SgdOptions { lr, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false, maximize: false }
    }

    fn slots(options: &SgdOptions) -> &'static [Slot] {
        const SLOTS: [Slot; 1] = [Slot::LikeParameter("momentum_buffer")];
        if options.momentum == 0.0 { &[] } else { &SLOTS }
    }

    fn update(options: &SgdOptions, batch: &Batch) -> Result<()> {
        let step = aten::SgdStep {
            lr: options.lr,
            momentum: options.momentum,
            dampening: options.dampening,
            weight_decay: options.weight_decay,
            nesterov: options.nesterov,
            maximize: options.maximize,
            is_first_step: batch.is_first_step,
        };
        aten::fused_sgd(&batch.parameters, &batch.gradients, batch.slot(0), &step)?;
        Ok(())
    }
}

impl Builder<SgdRule> {
    /// How much of the last velocity is kept, usually 0.9; 0 unless said otherwise.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.options.momentum = momentum;
        self
    }

    /// How much of the gradient is kept from the velocity; 0 unless said otherwise. It does not touch the first step.
    pub fn dampening(mut self, dampening: f64) -> Self {
        self.options.dampening = dampening;
        self
    }

    /// Nesterov's momentum; it needs a [`momentum`](Self::momentum) and no [`dampening`](Self::dampening).
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.options.nesterov = nesterov;
        self
    }
}
