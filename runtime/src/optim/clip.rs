//! Clipping gradients, by their norm or each value.

use std::fmt;

use tch::{Device, Kind, Tensor};

use crate::c10d::aten;
use crate::error::{Error, Result};

/// How the length of all gradients together is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NormType {
    /// The sum of absolute values.
    L1,
    /// The root of the sum of squares.
    L2,
    /// The greatest absolute value.
    Infinity,
    /// The p-th root of the sum of p-th powers, for any finite p above 0.
    P(f64),
}

impl NormType {
    fn order(self) -> Result<f64> {
        match self {
            Self::L1 => Ok(1.0),
            Self::L2 => Ok(2.0),
            Self::Infinity => Ok(f64::INFINITY),
            Self::P(order) if order.is_finite() && order > 0.0 => Ok(order),
            Self::P(order) => Err(Error::optimizer(format!(
                "gradients cannot be clipped by a norm of order {order}; give a finite one above 0, or NormType::Infinity"
            ))),
        }
    }
}

impl fmt::Display for NormType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::L1 => f.write_str("1"),
            Self::L2 => f.write_str("2"),
            Self::Infinity => f.write_str("infinity"),
            Self::P(order) => write!(f, "{order}"),
        }
    }
}

/// PyTorch's `clip_grad_norm_`, operation by operation; returns the norm before. Where that is not finite, `must_be_finite`
/// makes it an error, and the gradients stay.
pub(super) fn by_norm(
    gradients: &[Tensor],
    max_norm: f64,
    norm_type: NormType,
    must_be_finite: bool,
) -> Result<Tensor> {
    let order = norm_type.order()?;
    if max_norm.is_nan() || max_norm < 0.0 {
        return Err(Error::optimizer(format!("gradients cannot be clipped to a norm of {max_norm}; give at least 0")));
    }
    let Some(first) = gradients.first() else {
        return Ok(Tensor::f_zeros([0; 0], (Kind::Float, Device::Cpu))?);
    };
    let mut norms = aten::foreach_norm(gradients, order)?;
    for norm in &mut norms {
        *norm = norm.f_to(first.device())?;
    }
    let stacked = Tensor::f_stack(&norms, 0)?;
    let total = aten::foreach_norm([&stacked], order)?.swap_remove(0);
    if must_be_finite && !f64::try_from(&total)?.is_finite() {
        return Err(Error::optimizer(format!(
            "the {norm_type}-norm of the gradients is {}, so they cannot be clipped; look for what made the loss or a \
             gradient infinite or NaN, or take `clip_grad_norm_with`, which lets it pass",
            f64::try_from(&total)?
        )));
    }
    // In Python a number divided by a tensor is the number times the reciprocal.
    let factor = total.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar(max_norm)?.f_clamp_max(1.0)?;
    let mut rest: Vec<&Tensor> = gradients.iter().collect();
    while let Some(device) = rest.first().map(|gradient| gradient.device()) {
        let (here, elsewhere): (Vec<_>, Vec<_>) = rest.into_iter().partition(|gradient| gradient.device() == device);
        aten::foreach_mul(here, &factor.f_to(device)?)?;
        rest = elsewhere;
    }
    Ok(total)
}

/// PyTorch's `clip_grad_value_`.
pub(super) fn by_value(gradients: &[Tensor], max: f64) -> Result<()> {
    if !max.is_finite() || max < 0.0 {
        return Err(Error::optimizer(format!(
            "gradients cannot be clipped to values of at most {max}; give a finite number of at least 0"
        )));
    }
    for gradients in by_kind(gradients.iter()) {
        aten::foreach_clamp(gradients, -max, max)?;
    }
    Ok(())
}

/// Groups of one device and dtype each.
pub(super) fn by_kind<'a>(gradients: impl Iterator<Item = &'a Tensor>) -> Vec<Vec<&'a Tensor>> {
    let mut groups: Vec<Vec<&Tensor>> = Vec::new();
    for gradient in gradients {
        let like = |group: &&mut Vec<&Tensor>| {
            group.first().is_some_and(|first| (first.device(), first.kind()) == (gradient.device(), gradient.kind()))
        };
        match groups.iter_mut().find(like) {
            Some(group) => group.push(gradient),
            None => groups.push(vec![gradient]),
        }
    }
    groups
}
