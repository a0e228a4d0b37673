//! Random numbers from a generator of one's own.

use tch::Tensor;

use crate::bridge::ffi;
use crate::error::{During, Error, Result};
use crate::tensors::{borrow, own};

/// A permutation of `0..n` (int64, shape `[n]`), a function of `seed` alone: the one that PyTorch's
/// `torch.randperm(n, generator=torch.Generator().manual_seed(seed))` gives.
///
/// # Errors
/// [`Error::Argument`] where `n` is below 0.
pub fn randperm(n: i64, seed: u64) -> Result<Tensor> {
    if n < 0 {
        return Err(Error::argument("randperm", format!("there is no permutation of {n} things")));
    }
    ffi::randperm(n, seed).during("randperm").map(own)
}

/// The state of the generator that libtorch's functions use on the CPU, as a tensor of bytes.
///
/// # Errors
/// Where libtorch refuses.
pub fn cpu_generator_state() -> Result<Tensor> {
    ffi::cpu_generator_state().during("cpu_generator_state").map(own)
}

/// Puts the generator back to where [`cpu_generator_state`] was taken: the same numbers follow.
///
/// # Errors
/// [`Error::Torch`] where `state` is no state of this generator.
pub fn set_cpu_generator_state(state: &Tensor) -> Result<()> {
    ffi::set_cpu_generator_state(borrow(state)).during("set_cpu_generator_state")
}
