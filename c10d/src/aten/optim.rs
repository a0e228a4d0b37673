//! libtorch's fused optimizer kernels, and steps over whole lists where it has none: one call steps all parameters of a group.

use tch::Tensor;

use crate::bridge::ffi;
use crate::error::{During, Error, Result};
use crate::tensors::list;

/// The numbers of one step of SGD, by the names of `torch.optim.SGD`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub struct SgdStep {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
    pub maximize: bool,
    /// The momentum buffers hold nothing yet: they begin as the gradient.
    pub is_first_step: bool,
}

/// The numbers of one step of Adam, by the names of `torch.optim.Adam`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub struct AdamStep {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub weight_decay: f64,
    pub eps: f64,
    pub amsgrad: bool,
    pub maximize: bool,
    /// Weight decay as in `AdamW`: taken from the weights, not added to the gradient.
    pub decoupled: bool,
}

/// The numbers of one step of Adagrad, by the names of `torch.optim.Adagrad`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub struct AdagradStep {
    pub lr: f64,
    pub lr_decay: f64,
    pub weight_decay: f64,
    pub eps: f64,
    pub maximize: bool,
}

/// The numbers of one step of `RMSprop`, by the names of `torch.optim.RMSprop`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub struct RmsPropStep {
    pub lr: f64,
    pub alpha: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub momentum: f64,
    pub centered: bool,
    pub maximize: bool,
}

/// The numbers of one step of Lion.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub struct LionStep {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    /// Taken from the weights, times `lr`.
    pub weight_decay: f64,
    pub maximize: bool,
}

/// One step of SGD, in place. `momentum_buffers` is empty where momentum is 0.
///
/// # Errors
/// [`Error::Argument`] where the lists differ in length; [`Error::Torch`] where a tensor differs from its
/// parameter in shape, dtype, device or memory layout.
pub fn fused_sgd(
    parameters: &[Tensor],
    gradients: &[Tensor],
    momentum_buffers: &[Tensor],
    step: &SgdStep,
) -> Result<()> {
    let buffers = if step.momentum == 0.0 { 0 } else { parameters.len() };
    same_length("fused_sgd", parameters.len(), gradients.len())?;
    same_length("fused_sgd", buffers, momentum_buffers.len())?;
    ffi::fused_sgd(
        &list(parameters),
        &list(gradients),
        &list(momentum_buffers),
        step.lr,
        step.momentum,
        step.dampening,
        step.weight_decay,
        step.nesterov,
        step.maximize,
        step.is_first_step,
    )
    .during("fused_sgd")
}

/// One step of Adam or `AdamW`, in place. `steps` are scalar float tensors that count the steps *including* this one;
/// `max_exp_avg_sqs` is empty without `amsgrad`.
///
/// # Errors
/// [`Error::Argument`] where the lists differ in length; [`Error::Torch`] where a tensor differs from its
/// parameter in shape, dtype, device or memory layout.
pub fn fused_adam(
    parameters: &[Tensor],
    gradients: &[Tensor],
    exp_avgs: &[Tensor],
    exp_avg_sqs: &[Tensor],
    max_exp_avg_sqs: &[Tensor],
    steps: &[Tensor],
    step: &AdamStep,
) -> Result<()> {
    let maxima = if step.amsgrad { parameters.len() } else { 0 };
    for length in [gradients.len(), exp_avgs.len(), exp_avg_sqs.len(), steps.len()] {
        same_length("fused_adam", parameters.len(), length)?;
    }
    same_length("fused_adam", maxima, max_exp_avg_sqs.len())?;
    ffi::fused_adam(
        &list(parameters),
        &list(gradients),
        &list(exp_avgs),
        &list(exp_avg_sqs),
        &list(max_exp_avg_sqs),
        &list(steps),
        step.lr,
        step.beta1,
        step.beta2,
        step.weight_decay,
        step.eps,
        step.amsgrad,
        step.maximize,
        step.decoupled,
    )
    .during("fused_adam")
}

/// One step of Adagrad, in place. `steps` are scalar float tensors that count the steps *including* this one.
///
/// # Errors
/// [`Error::Argument`] where the lists differ in length; [`Error::Torch`] where a tensor differs from its
/// parameter in shape, dtype, device or memory layout.
pub fn fused_adagrad(
    parameters: &[Tensor],
    gradients: &[Tensor],
    sums: &[Tensor],
    steps: &[Tensor],
    step: &AdagradStep,
) -> Result<()> {
    for length in [gradients.len(), sums.len(), steps.len()] {
        same_length("fused_adagrad", parameters.len(), length)?;
    }
    ffi::fused_adagrad(
        &list(parameters),
        &list(gradients),
        &list(sums),
        &list(steps),
        step.lr,
        step.lr_decay,
        step.weight_decay,
        step.eps,
        step.maximize,
    )
    .during("fused_adagrad")
}

/// One step of `RMSprop`, in place. `grad_avgs` is empty where it is not centered, `momentum_buffers` where momentum is 0.
///
/// # Errors
/// [`Error::Argument`] where the lists differ in length; [`Error::Torch`] where a tensor differs from its
/// parameter in shape, dtype, device or memory layout.
pub fn foreach_rmsprop(
    parameters: &[Tensor],
    gradients: &[Tensor],
    square_avgs: &[Tensor],
    grad_avgs: &[Tensor],
    momentum_buffers: &[Tensor],
    step: &RmsPropStep,
) -> Result<()> {
    let averages = if step.centered { parameters.len() } else { 0 };
    let buffers = if step.momentum == 0.0 { 0 } else { parameters.len() };
    same_length("foreach_rmsprop", parameters.len(), gradients.len())?;
    same_length("foreach_rmsprop", parameters.len(), square_avgs.len())?;
    same_length("foreach_rmsprop", averages, grad_avgs.len())?;
    same_length("foreach_rmsprop", buffers, momentum_buffers.len())?;
    ffi::foreach_rmsprop(
        &list(parameters),
        &list(gradients),
        &list(square_avgs),
        &list(grad_avgs),
        &list(momentum_buffers),
        step.lr,
        step.alpha,
        step.eps,
        step.weight_decay,
        step.momentum,
        step.centered,
        step.maximize,
    )
    .during("foreach_rmsprop")
}

/// One step of Lion, in place.
///
/// # Errors
/// [`Error::Argument`] where the lists differ in length; [`Error::Torch`] where a tensor differs from its
/// parameter in shape, dtype, device or memory layout.
pub fn foreach_lion(parameters: &[Tensor], gradients: &[Tensor], exp_avgs: &[Tensor], step: &LionStep) -> Result<()> {
    same_length("foreach_lion", parameters.len(), gradients.len())?;
    same_length("foreach_lion", parameters.len(), exp_avgs.len())?;
    ffi::foreach_lion(
        &list(parameters),
        &list(gradients),
        &list(exp_avgs),
        step.lr,
        step.beta1,
        step.beta2,
        step.weight_decay,
        step.maximize,
    )
    .during("foreach_lion")
}

fn same_length(operation: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::argument(operation, format!("a list of {found} tensors where {expected} belong")))
}
