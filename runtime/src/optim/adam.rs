//! Adam and `AdamW`, which differ in where weight decay goes.

use serde::{Deserialize, Serialize};

use super::builder::Builder;
use super::optimizer::Optimizer;
use super::rule::{Batch, Options, Rule, Slot, at_least_zero, below_one, sealed, shared_options};
use crate::c10d::aten;
use crate::error::Result;

/// Adam: `torch.optim.Adam`, after Kingma & Ba, "Adam: A Method for Stochastic Optimization" (ICLR 2015). Weight decay is
/// an L2 penalty, added to the gradient; for the decoupled one use [`AdamW`].
///
/// ```no_run
/// # fn main() -> trainloop::Result<()> {
/// # let vars = tch::nn::VarStore::new(tch::Device::Cpu);
/// use trainloop::optim::Adam;
///
/// let optimizer = Adam::builder(1e-3).betas(0.9, 0.98).eps(1e-9).build(&vars)?;
/// # Ok(())
/// # }
/// ```
pub type Adam = Optimizer<AdamRule>;

/// Adam with decoupled weight decay: `torch.optim.AdamW`, after Loshchilov & Hutter, "Decoupled Weight Decay
/// Regularization" (ICLR 2019). Weight decay, 0.01 unless said otherwise, is taken from the weights themselves.
///
/// ```no_run
/// use tch::{Device, nn};
/// use trainloop::optim::{AdamW, ParamGroup};
///
/// # fn main() -> trainloop::Result<()> {
/// let vars = nn::VarStore::new(Device::Cpu);
/// let net = nn::linear(vars.root() / "head", 64, 10, nn::LinearConfig::default());
/// let mut optimizer = AdamW::builder(1e-3)
///     .weight_decay(0.05)
///     .group(ParamGroup::new("no_decay", |name| name.ends_with("bias")).weight_decay(0.0))
///     .build(&vars)?;
/// # let (images, labels) = (tch::Tensor::new(), tch::Tensor::new());
/// let loss = images.apply(&net).cross_entropy_for_logits(&labels);
/// optimizer.backward_step(&loss)?;
/// # Ok(())
/// # }
/// ```
pub type AdamW = Optimizer<AdamWRule>;

/// The rule of [`Adam`].
#[derive(Debug, Clone, Copy)]
pub enum AdamRule {}

/// The rule of [`AdamW`].
#[derive(Debug, Clone, Copy)]
pub enum AdamWRule {}

/// The numbers of one group of [`Adam`] or [`AdamW`], by the names of `torch.optim.Adam`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AdamOptions {
    /// The learning rate.
    pub lr: f64,
    /// How much of the running means of the gradient and of its square is kept at a step.
    pub betas: (f64, f64),
    /// Added to the divisor, so that it is never 0.
    pub eps: f64,
    /// [`Adam`]: the L2 penalty, added to the gradient. [`AdamW`]: the part of the weights, times `lr`, that is taken away.
    pub weight_decay: f64,
    /// Divides by the greatest mean square so far, after Reddi et al., "On the Convergence of Adam and Beyond" (ICLR 2018).
    pub amsgrad: bool,
    /// Climbs instead of descending.
    pub maximize: bool,
}

impl AdamOptions {
    fn new(lr: f64, weight_decay: f64) -> Self {
        Self { lr, betas: (0.9, 0.999), eps: 1e-8, weight_decay, amsgrad: false, maximize: false }
    }
}

impl Options for AdamOptions {
    shared_options!();

    fn set_momentum(&mut self, momentum: f64) -> bool {
        self.betas.0 = momentum;
        true
    }

    fn check(&self) -> Result<(), String> {
        at_least_zero("lr", self.lr)?;
        at_least_zero("eps", self.eps)?;
        at_least_zero("weight_decay", self.weight_decay)?;
        below_one("the first of betas", self.betas.0)?;
        below_one("the second of betas", self.betas.1)
    }
}

/// The places of [`slots`] in a batch.
const STEP: usize = 0;
const EXP_AVG: usize = 1;
const EXP_AVG_SQ: usize = 2;
const MAX_EXP_AVG_SQ: usize = 3;

fn slots(options: &AdamOptions) -> &'static [Slot] {
    const SLOTS: [Slot; 4] = [
        Slot::Counter("step"),
        Slot::LikeParameter("exp_avg"),
        Slot::LikeParameter("exp_avg_sq"),
        Slot::LikeParameter("max_exp_avg_sq"),
    ];
    if options.amsgrad { &SLOTS } else { &SLOTS[..MAX_EXP_AVG_SQ] }
}

fn update(options: &AdamOptions, batch: &Batch, decoupled: bool) -> Result<()> {
    aten::foreach_add(batch.slot(STEP), 1.0)?;
    let step = aten::AdamStep {
        lr: options.lr,
        beta1: options.betas.0,
        beta2: options.betas.1,
        weight_decay: options.weight_decay,
        eps: options.eps,
        amsgrad: options.amsgrad,
        maximize: options.maximize,
        decoupled,
    };
    aten::fused_adam(
        &batch.parameters,
        &batch.gradients,
        batch.slot(EXP_AVG),
        batch.slot(EXP_AVG_SQ),
        batch.slot(MAX_EXP_AVG_SQ),
        batch.slot(STEP),
        &step,
    )?;
    Ok(())
}

impl sealed::Sealed for AdamRule {}

impl Rule for AdamRule {
    const NAME: &'static str = "Adam";

    type Options = AdamOptions;

    fn defaults(lr: f64) -> AdamOptions {
        AdamOptions::new(lr, 0.0)
    }

    fn slots(options: &AdamOptions) -> &'static [Slot] {
        slots(options)
    }

    fn update(options: &AdamOptions, batch: &Batch) -> Result<()> {
        update(options, batch, false)
    }
}

impl sealed::Sealed for AdamWRule {}

impl Rule for AdamWRule {
    const NAME: &'static str = "AdamW";

    type Options = AdamOptions;

    fn defaults(lr: f64) -> AdamOptions {
        AdamOptions::new(lr, 0.01)
    }

    fn slots(options: &AdamOptions) -> &'static [Slot] {
        slots(options)
    }

    fn update(options: &AdamOptions, batch: &Batch) -> Result<()> {
        update(options, batch, true)
    }
}

/// What [`Adam`] and [`AdamW`] alone have.
impl<R: Rule<Options = AdamOptions>> Builder<R> {
    /// How much of the running means of the gradient and of its square is kept at a step; 0.9 and 0.999 unless said
    /// otherwise.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        self.options.betas = (beta1, beta2);
        self
    }

    /// Added to the divisor, so that it is never 0; 1e-8 unless said otherwise.
    pub fn eps(mut self, eps: f64) -> Self {
        self.options.eps = eps;
        self
    }

    /// Divides by the greatest mean square so far, after Reddi et al., "On the Convergence of Adam and Beyond" (ICLR
    /// 2018); off unless said otherwise.
    pub fn amsgrad(mut self, amsgrad: bool) -> Self {
        self.options.amsgrad = amsgrad;
        self
    }
}
