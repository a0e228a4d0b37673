//! What carries a group's tensors.

use tch::{Device, Tensor};

use super::call::Call;
#[cfg(feature = "nccl")]
use crate::device::cuda_device;
use crate::error::Result;

/// What carries a group's tensors. Every rank chooses the same, but for the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Backend {
    /// Gloo, over TCP: tensors of the CPU, and those of CUDA devices by way of it.
    #[default]
    Gloo,
    /// NCCL for tensors of one CUDA device, this rank's own, and Gloo for those of the CPU: PyTorch's
    /// `cpu:gloo,cuda:nccl`. With the feature `nccl`.
    ///
    /// A collective of NCCL's is the device's work. "Blocking" means, as in PyTorch, that the current stream waits, not
    /// the process: what is computed from the result comes after it, and reading a number of it waits for both. A
    /// barrier, [`Work::wait_timeout`](crate::Work::wait_timeout) and [`Work::is_completed`](crate::Work::is_completed)
    /// look at the device itself. NCCL cannot combine bits, and knows no tags: of the messages from one rank to another
    /// the first that is sent is the first to be received.
    ///
    /// An error that NCCL reports while nobody waits is found by a thread of libtorch's, which ends the process; see
    /// `TORCH_NCCL_ASYNC_ERROR_HANDLING` in PyTorch's documentation. With `TORCH_NCCL_BLOCKING_WAIT=1` every wait blocks the
    /// process and gives the error: [`Error::Nccl`](crate::Error::Nccl), or [`Error::Timeout`](crate::Error::Timeout).
    #[cfg(feature = "nccl")]
    Nccl {
        /// The CUDA device to which the group is bound, from 0.
        device: usize,
    },
}

impl Backend {
    /// The device that NCCL serves, if it is there.
    #[cfg(feature = "nccl")]
    pub(super) fn nccl_device(self, operation: &'static str) -> Result<Option<u8>> {
        match self {
            Self::Gloo => Ok(None),
            Self::Nccl { device } => cuda_device(operation, device).map(Some),
        }
    }

    /// Refuses a tensor of a device that the group does not serve.
    pub(super) fn serves(self, tensor: &Tensor, call: &Call) -> Result<()> {
        match (self, tensor.device()) {
            (_, Device::Cpu) | (Self::Gloo, Device::Cuda(_)) => Ok(()),
            #[cfg(feature = "nccl")]
            (Self::Nccl { device }, Device::Cuda(index)) if index == device => Ok(()),
            #[cfg(feature = "nccl")]
            (Self::Nccl { device }, Device::Cuda(index)) => call.refuse(format!(
                "the tensor is on CUDA device {index}, and rank {} of the group is bound to device {device}; move it there",
                call.rank
            )),
            (_, other) => {
                call.refuse(format!("the tensor is on {other:?}; a group serves tensors of the CPU and of CUDA devices"))
            }
        }
    }

    /// True where NCCL carries the tensor.
    pub(super) fn is_nccl_for(self, tensor: &Tensor) -> bool {
        self != Self::Gloo && matches!(tensor.device(), Device::Cuda(_))
    }
}
