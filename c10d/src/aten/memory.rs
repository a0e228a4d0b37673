//! Page-locked memory.

use tch::Tensor;

use crate::bridge::ffi;
use crate::error::{During, Result};
use crate::tensors::{borrow, own};

/// A copy of a CPU tensor in page-locked (pinned) memory, from which a GPU copies by itself while the CPU goes on: PyTorch's
/// `Tensor.pin_memory()`. One that lies there already is given as it is.
///
/// # Errors
/// Where there is no GPU, the tensor is not on the CPU, or libtorch has no such memory left.
pub fn pin_memory(tensor: &Tensor) -> Result<Tensor> {
    ffi::pin_memory(borrow(tensor)).during("pin_memory").map(own)
}

/// Does the tensor lie in page-locked memory? Without a GPU none does.
///
/// # Errors
/// Where libtorch refuses.
pub fn is_pinned(tensor: &Tensor) -> Result<bool> {
    ffi::is_pinned(borrow(tensor)).during("is_pinned")
}
