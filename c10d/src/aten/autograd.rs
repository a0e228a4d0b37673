//! Gradients and tensor identity.

use tch::Tensor;

use crate::bridge::ffi;
use crate::error::{During, Result};
use crate::tensors::borrow;

/// Frees a tensor's gradient: afterwards `tensor.grad()` is undefined, as after PyTorch's `zero_grad(set_to_none=True)`.
///
/// # Errors
/// Where libtorch refuses.
pub fn clear_grad(tensor: &Tensor) -> Result<()> {
    ffi::clear_grad(borrow(tensor)).during("clear_grad")
}

/// True where operations on this thread are recorded for a backward pass: not inside `tch::no_grad`.
#[must_use]
pub fn is_grad_enabled() -> bool {
    ffi::is_grad_enabled()
}

/// True if the two are handles of one and the same tensor.
#[must_use]
pub fn is_same(left: &Tensor, right: &Tensor) -> bool {
    ffi::is_same(borrow(left), borrow(right))
}
