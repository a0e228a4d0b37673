//! What a bucket of gradients goes through instead of a plain mean.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use cxx::UniquePtr;
use tch::Tensor;

use crate::bridge::ffi;
use crate::tensors;

/// How gradients are sent: each rank divides its own by the world size, rounds them, and the ranks add them up so; then they
/// become the parameters' dtype again. As PyTorch's `fp16_compress_hook` and `bf16_compress_hook`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// IEEE half precision: 11 significant bits, nothing beyond 65,504.
    Fp16,
    /// bfloat16: 8 significant bits, the range of float32.
    Bf16,
}

/// A bucket whose gradients are ready on this rank.
#[derive(Debug)]
#[non_exhaustive]
pub struct GradBucket {
    /// Its number; the buckets of a pass come in this order, from 0, and in the same one on every rank.
    pub index: usize,
    /// It is the last of its pass.
    pub is_last: bool,
    /// All gradients of the bucket, one behind the other: `[elements]`, in the parameters' dtype.
    pub gradients: Tensor,
}

type Hook = dyn FnMut(GradBucket) -> Result<Tensor, String> + Send;

/// The user's function, as C++ keeps it.
pub(crate) struct CommHook(Mutex<Box<Hook>>);

impl CommHook {
    pub(super) fn new<E: std::fmt::Display>(
        mut hook: impl FnMut(GradBucket) -> Result<Tensor, E> + Send + 'static,
    ) -> Self {
        Self(Mutex::new(Box::new(move |bucket| hook(bucket).map_err(|error| error.to_string()))))
    }
}

/// Called by the reducer. A panic must not cross C++: it becomes an error.
pub(crate) fn run_comm_hook(
    hook: &CommHook,
    index: usize,
    is_last: bool,
    gradients: UniquePtr<ffi::Tensor>,
) -> Result<UniquePtr<ffi::TensorList>, String> {
    let bucket = GradBucket { index, is_last, gradients: tensors::own(gradients) };
    let mut hook = hook.0.lock().unwrap_or_else(PoisonError::into_inner);
    let reduced = catch_unwind(AssertUnwindSafe(|| hook(bucket)));
    match reduced {
        Ok(Ok(reduced)) => Ok(tensors::list([&reduced])),
        Ok(Err(error)) => Err(format!("the hook on gradients failed: {error}")),
        Err(panic) => {
            let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(format!("the hook on gradients panicked: {words}"))
        }
    }
}
