//! Clipping gradients by their norm.

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

/// PyTorch's `clip_grad_norm_`, operation by operation; returns the norm before.
pub(super) fn clip(gradients: &[Tensor], max_norm: f64, norm_type: NormType) -> Result<Tensor> {
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
