//! The two kernels of automatic mixed precision.

use tch::Tensor;

use crate::bridge::ffi;
use crate::error::{During, Result};
use crate::tensors::{borrow, list};

/// Multiplies each gradient, in place, by `inverse_scale`, and sets `found_inf` to 1 where a value was infinite or NaN;
/// otherwise `found_inf` stays as it is. Both are scalar float32 tensors on the gradients' device.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where the gradients are not all on one device and of one floating-point dtype.
pub fn amp_unscale<'a>(
    gradients: impl IntoIterator<Item = &'a Tensor>,
    found_inf: &Tensor,
    inverse_scale: &Tensor,
) -> Result<()> {
    ffi::amp_unscale(&list(gradients), borrow(found_inf), borrow(inverse_scale)).during("amp_unscale")
}

/// How [`amp_update_scale`] moves the scale, by the names of `torch.amp.GradScaler`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub struct ScaleUpdate {
    pub growth_factor: f64,
    pub backoff_factor: f64,
    pub growth_interval: i64,
}

/// Moves `scale` (a scalar float32 tensor), in place: down where `found_inf` is not 0, up after as many steps without as
/// the interval says. `growth_tracker` (a scalar int32 tensor) counts them.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where a tensor is of another shape, dtype or device.
pub fn amp_update_scale(
    scale: &Tensor,
    growth_tracker: &Tensor,
    found_inf: &Tensor,
    update: &ScaleUpdate,
) -> Result<()> {
    let ScaleUpdate { growth_factor, backoff_factor, growth_interval } = *update;
    ffi::amp_update_scale(
        borrow(scale),
        borrow(growth_tracker),
        borrow(found_inf),
        growth_factor,
        backoff_factor,
        growth_interval,
    )
    .during("amp_update_scale")
}
