//! Automatic mixed precision in the forward pass.

use tch::{Device, Kind};

use crate::bridge::ffi;
use crate::error::{During, Error, Result};

/// Runs `body` with `torch.autocast`: on `device`, operations that gain by it (matrix products, convolutions) compute in
/// `kind`, and those that lose by it (norms, losses) in float32. Parameters stay as they are, and so do their gradients.
///
/// It is for the forward pass and the loss on this thread; the backward pass follows by itself, outside it.
///
/// ```no_run
/// use tch::{Device, Kind, Tensor};
/// use trainloop_c10d::aten::autocast;
///
/// # fn main() -> trainloop_c10d::Result<()> {
/// let (a, b) = (Tensor::ones([2, 2], tch::kind::FLOAT_CPU), Tensor::ones([2, 2], tch::kind::FLOAT_CPU));
/// let product = autocast(Device::Cpu, Kind::BFloat16, || a.matmul(&b))?;
/// assert_eq!(product.kind(), Kind::BFloat16);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] where `kind` is neither `Half` nor `BFloat16`, or `device` neither a CPU nor a CUDA device; `body` has
/// not been called then.
pub fn autocast<T>(device: Device, kind: Kind, body: impl FnOnce() -> T) -> Result<T> {
    const OPERATION: &str = "autocast";
    let cuda = match device {
        Device::Cpu => false,
        Device::Cuda(_) => true,
        other => {
            return Err(Error::argument(
                OPERATION,
                format!("there is none for {other:?}; use the CPU or a CUDA device"),
            ));
        }
    };
    let half = match kind {
        Kind::Half => true,
        Kind::BFloat16 => false,
        other => {
            let message = format!("operations cannot be cast to {other:?}; choose Kind::BFloat16 or Kind::Half");
            return Err(Error::argument(OPERATION, message));
        }
    };
    let _on = On(ffi::enter_autocast(cuda, half).during(OPERATION)?);
    Ok(body())
}

/// Puts back what was before, also where `body` panics.
struct On(ffi::AutocastBefore);

impl Drop for On {
    fn drop(&mut self) {
        ffi::leave_autocast(&self.0);
    }
}
