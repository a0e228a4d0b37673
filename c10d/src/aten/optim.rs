//! libtorch's fused optimizer kernels: one call steps all parameters of a group.

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

fn same_length(operation: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::argument(operation, format!("a list of {found} tensors where {expected} belong")))
}
