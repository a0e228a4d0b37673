//! Operations over many tensors in one call.

use tch::Tensor;

use crate::bridge::ffi;
use crate::error::{During, Result};
use crate::tensors::{borrow, list, own_list};

/// The norm of each tensor; `order` is 1, 2, infinity or any other positive number.
///
/// # Errors
/// Where libtorch refuses, as for whole numbers.
pub fn foreach_norm<'a>(tensors: impl IntoIterator<Item = &'a Tensor>, order: f64) -> Result<Vec<Tensor>> {
    let norms = ffi::foreach_norm(&list(tensors), order).during("foreach_norm")?;
    own_list(&norms).during("foreach_norm")
}

/// Multiplies each tensor, in place, by the scalar tensor `factor`.
///
/// # Errors
/// Where libtorch refuses.
pub fn foreach_mul<'a>(tensors: impl IntoIterator<Item = &'a Tensor>, factor: &Tensor) -> Result<()> {
    ffi::foreach_mul(&list(tensors), borrow(factor)).during("foreach_mul")
}

/// Adds `value` to each tensor, in place.
///
/// # Errors
/// Where libtorch refuses.
pub fn foreach_add<'a>(tensors: impl IntoIterator<Item = &'a Tensor>, value: f64) -> Result<()> {
    ffi::foreach_add(&list(tensors), value).during("foreach_add")
}

/// Takes each value of each tensor into `min..=max`, in place. A value that is NaN stays so.
///
/// # Errors
/// Where libtorch refuses.
pub fn foreach_clamp<'a>(tensors: impl IntoIterator<Item = &'a Tensor>, min: f64, max: f64) -> Result<()> {
    ffi::foreach_clamp(&list(tensors), min, max).during("foreach_clamp")
}
