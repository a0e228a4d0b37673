//! The values of a tensor as bytes.

use tch::{Device, TchError, Tensor};

use crate::bridge::ffi;
use crate::error::{During, Error, Result};
use crate::tensors::borrow;

/// Large enough for full speed, small enough for the cache.
const CHUNK: usize = 1024 * 1024;

/// How many bytes the values of `tensor` take.
#[must_use]
pub fn byte_len(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.kind().elt_size_in_bytes()
}

/// Gives the values of `tensor` in row-major order, as bytes in this machine's order, a piece at a time: a large tensor is
/// never copied whole, unless it lies on a GPU or is not contiguous.
///
/// # Errors
/// Those of `take`; [`Error::Torch`] where libtorch cannot bring the tensor to the CPU.
pub fn for_each_chunk<E: From<Error>>(tensor: &Tensor, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    const OPERATION: &str = "for_each_chunk";
    let host = || tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous();
    let tensor = host().map_err(|error: TchError| Error::Torch { operation: OPERATION, message: error.to_string() })?;
    let bytes = byte_len(&tensor);
    let mut buffer = vec![0; CHUNK.min(bytes)];
    let mut offset = 0;
    while offset < bytes {
        let chunk = &mut buffer[..CHUNK.min(bytes - offset)];
        ffi::copy_bytes(borrow(&tensor), offset, chunk).during(OPERATION)?;
        take(chunk)?;
        offset += chunk.len();
    }
    Ok(())
}
