//! Random numbers from a generator of one's own.

use tch::Tensor;

use crate::bridge::ffi;
use crate::error::{During, Error, Result};
use crate::tensors::own;

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
