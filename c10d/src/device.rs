//! CUDA devices, by their index.

use tch::Cuda;

use crate::error::{Error, Result};

/// The index as libtorch has it, 8 bits wide, if there is such a device.
pub(crate) fn cuda_device(operation: &'static str, device: usize) -> Result<u8> {
    let devices = usize::try_from(Cuda::device_count()).unwrap_or(0);
    match u8::try_from(device) {
        Ok(index) if device < devices => Ok(index),
        _ => Err(Error::argument(operation, format!("there is no CUDA device {device}; libtorch sees {devices}"))),
    }
}
