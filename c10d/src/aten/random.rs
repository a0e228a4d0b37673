//! Random numbers: a generator of one's own, the states of libtorch's, and what may depend on chance.

use tch::Tensor;

use crate::bridge::ffi;
use crate::device::cuda_device;
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

/// The state of a CUDA device's generator, as a tensor of bytes on the CPU.
///
/// # Errors
/// [`Error::Argument`] where there is no such device; otherwise where libtorch refuses.
pub fn cuda_generator_state(device: usize) -> Result<Tensor> {
    ffi::cuda_generator_state(cuda_device("cuda_generator_state", device)?).during("cuda_generator_state").map(own)
}

/// Puts a CUDA device's generator back to where [`cuda_generator_state`] was taken.
///
/// # Errors
/// [`Error::Argument`] where there is no such device; [`Error::Torch`] where `state` is no state of its generator.
pub fn set_cuda_generator_state(device: usize, state: &Tensor) -> Result<()> {
    let device = cuda_device("set_cuda_generator_state", device)?;
    ffi::set_cuda_generator_state(device, borrow(state)).during("set_cuda_generator_state")
}

/// Has libtorch choose algorithms that give the same numbers every time; of an operation that has none, an error or, with
/// `warn_only`, a warning. It counts for the whole process.
///
/// # Errors
/// Where libtorch refuses.
pub fn set_deterministic_algorithms(deterministic: bool, warn_only: bool) -> Result<()> {
    ffi::set_deterministic_algorithms(deterministic, warn_only).during("set_deterministic_algorithms")
}

/// Whether [`set_deterministic_algorithms`] is on, and whether it only warns.
#[must_use]
pub fn deterministic_algorithms() -> (bool, bool) {
    (ffi::deterministic_algorithms(), ffi::deterministic_algorithms_warn_only())
}
