//! The values of a tensor as bytes.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

use tch::{Device, Tensor};

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
    let tensor = host().during(OPERATION)?;
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

/// Fills `tensor` with the next bytes of `file`, as [`for_each_chunk`] gives them: straight into its memory, unless it lies on
/// a GPU or is not contiguous, when it is filled from a whole copy.
///
/// # Errors
/// [`UnexpectedEof`](ErrorKind::UnexpectedEof) where the file ends before; where it cannot be read, or libtorch cannot bring
/// the values to the tensor. Some values may be new then.
///
/// ```
/// use std::io::{Seek, Write};
///
/// use tch::{Device, Kind, Tensor};
/// use trainloop_c10d::aten;
///
/// let mut file = tempfile::tempfile()?;
/// file.write_all(&[1; 12])?;
/// file.rewind()?;
/// let tensor = Tensor::zeros([3], (Kind::Int, Device::Cpu));
/// aten::fill_from(&tensor, &file)?;
/// assert_eq!(tensor, Tensor::from_slice(&[0x0101_0101; 3]));
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn fill_from(tensor: &Tensor, file: &File) -> io::Result<()> {
    let is_plain = tensor.device() == Device::Cpu && tensor.is_contiguous();
    let host =
        || if is_plain { tensor.f_detach() } else { Tensor::f_empty(tensor.size(), (tensor.kind(), Device::Cpu)) };
    let host = host().map_err(io::Error::other)?;
    let bytes = byte_len(&host);
    let mut filled = 0;
    while filled < bytes {
        let read = ffi::read_bytes(borrow(&host), filled, file.as_raw_fd()).map_err(io::Error::other)?;
        filled += match usize::try_from(read) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(_) => match io::Error::from_raw_os_error(-read as i32) {
                error if error.kind() == ErrorKind::Interrupted => 0,
                error => return Err(error),
            },
        };
    }
    if is_plain { Ok(()) } else { copy_values(tensor, &host).map_err(io::Error::other) }
}

/// Copies the values of `source` into `target`, of the same shape and dtype, wherever the two lie; autograd does not see it.
/// On the CPU a large tensor passes by the caches, as training after it does not want what was copied there.
///
/// # Errors
/// [`Error::Torch`] where shape or dtype differ, or libtorch cannot copy.
pub fn copy_values(target: &Tensor, source: &Tensor) -> Result<()> {
    ffi::copy_values(borrow(target), borrow(source)).during("copy_values")
}
