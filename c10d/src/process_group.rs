//! A group of ranks and its collectives.

use std::time::Duration;

use cxx::UniquePtr;
use tch::Tensor;

use crate::bridge::ffi;
use crate::error::{During, Error, Result};
use crate::store::Store;
use crate::{millis, tensors};

/// How a collective combines the ranks' values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReduceOp {
    /// The sum.
    Sum,
    /// The mean: the sum, divided by the number of ranks. Floating-point tensors only.
    Mean,
    /// The product.
    Product,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl ReduceOp {
    /// `c10d::ReduceOp::RedOpType`. Gloo has no mean of its own: it is a sum, divided afterwards.
    fn code(self) -> u8 {
        match self {
            Self::Sum | Self::Mean => 0,
            Self::Product => 2,
            Self::Min => 3,
            Self::Max => 4,
        }
    }
}

/// Where a Gloo group listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface<'a> {
    /// Loopback alone: for a group whose ranks are all on this machine.
    Loopback,
    /// The interface that this host name or address belongs to.
    Host(&'a str),
    /// libtorch's choice: `GLOO_SOCKET_IFNAME`, or the interface of the machine's own name.
    Default,
}

/// A group of ranks that run collectives together, over libtorch's Gloo. See `torch.distributed.ProcessGroup`.
///
/// Every rank of the group must call the same collectives in the same order.
///
/// ```no_run
/// use std::time::Duration;
/// use tch::Tensor;
/// use trainloop_c10d::{FileStore, Interface, ProcessGroup, ReduceOp};
///
/// # fn main() -> trainloop_c10d::Result<()> {
/// let (rank, world_size) = (0, 1);
/// let store = FileStore::open("/tmp/group".as_ref(), world_size)?;
/// let group = ProcessGroup::gloo(&store, rank, world_size, Duration::from_secs(30), Interface::Loopback)?;
/// let mut sum = Tensor::from_slice(&[1.0, 2.0]);
/// group.all_reduce(&mut sum, ReduceOp::Sum)?;
/// # Ok(())
/// # }
/// ```
pub struct ProcessGroup {
    inner: UniquePtr<ffi::ProcessGroup>,
    rank: usize,
    world_size: usize,
}

// SAFETY: a c10d process group may be used from any thread; it is not `Sync`, since two threads' collectives could pass
// one another in a different order on each rank.
unsafe impl Send for ProcessGroup {}

impl std::fmt::Debug for ProcessGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessGroup")
            .field("rank", &self.rank)
            .field("world_size", &self.world_size)
            .finish_non_exhaustive()
    }
}

impl ProcessGroup {
    /// Joins a Gloo group of `world_size` ranks; returns when all have joined. Collectives fail after `timeout`.
    ///
    /// # Errors
    /// [`Error::Argument`] where `rank` is not below `world_size`; [`Error::Timeout`] or [`Error::Store`] where a rank does
    /// not come in time.
    pub fn gloo(
        store: &Store,
        rank: usize,
        world_size: usize,
        timeout: Duration,
        interface: Interface<'_>,
    ) -> Result<Self> {
        const OPERATION: &str = "ProcessGroup::gloo";
        if rank >= world_size {
            return Err(Error::argument(
                OPERATION,
                format!("rank {rank} is not in a group of {world_size}; ranks count from 0"),
            ));
        }
        let hostname = match interface {
            Interface::Loopback => "127.0.0.1",
            Interface::Host(name) => name,
            Interface::Default => "",
        };
        let inner = ffi::new_gloo_group(store.bridge(), rank as i32, world_size as i32, millis(timeout), hostname)
            .during(OPERATION)?;
        Ok(Self { inner, rank, world_size })
    }

    pub(crate) fn bridge(&self) -> &ffi::ProcessGroup {
        &self.inner
    }

    /// This process's place in the group, from 0.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many ranks there are.
    #[must_use]
    pub fn world_size(&self) -> usize {
        self.world_size
    }

    /// How long a collective waits from now on.
    ///
    /// # Errors
    /// Where the backend refuses it.
    pub fn set_timeout(&self, timeout: Duration) -> Result<()> {
        self.inner.set_timeout(millis(timeout)).during("ProcessGroup::set_timeout")
    }

    /// Replaces `tensor`, on every rank, by the combination of all ranks' tensors. All have the same shape and dtype.
    ///
    /// # Errors
    /// [`Error::Timeout`] or [`Error::Backend`] where a peer is late or gone; [`Error::Torch`] where libtorch refuses the
    /// tensor; [`Error::Argument`] for the mean of whole numbers. After an error the tensor's content is undefined.
    pub fn all_reduce(&self, tensor: &mut Tensor, op: ReduceOp) -> Result<()> {
        const OPERATION: &str = "all_reduce";
        if op == ReduceOp::Mean && !tensor.is_floating_point() {
            return Err(Error::argument(
                OPERATION,
                format!(
                    "the mean of {:?} values is no whole number; use ReduceOp::Sum or a floating-point tensor",
                    tensor.kind()
                ),
            ));
        }
        in_place(tensor, OPERATION, |dense| {
            self.inner.all_reduce(tensors::borrow(dense), op.code()).during(OPERATION)?;
            if op == ReduceOp::Mean {
                let _ = dense.f_div_scalar_(self.world_size as f64).during(OPERATION)?;
            }
            Ok(())
        })
    }

    /// Replaces `tensor`, on every rank, by `root`'s.
    ///
    /// # Errors
    /// As [`all_reduce`](Self::all_reduce); [`Error::Argument`] where `root` is not in the group.
    pub fn broadcast(&self, tensor: &mut Tensor, root: usize) -> Result<()> {
        const OPERATION: &str = "broadcast";
        if root >= self.world_size {
            return Err(Error::argument(
                OPERATION,
                format!("root {root} is not in a group of {}; ranks count from 0", self.world_size),
            ));
        }
        in_place(tensor, OPERATION, |dense| self.inner.broadcast(tensors::borrow(dense), root as i32).during(OPERATION))
    }

    /// Every rank's `tensor`, in the order of ranks. All have the same shape and dtype.
    ///
    /// # Errors
    /// As [`all_reduce`](Self::all_reduce).
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>> {
        const OPERATION: &str = "all_gather";
        let dense = dense(tensor, OPERATION)?;
        let list = self.inner.all_gather(tensors::borrow(&dense)).during(OPERATION)?;
        tensors::own_list(&list).during(OPERATION)
    }

    /// Waits until every rank has come here.
    ///
    /// # Errors
    /// As [`all_reduce`](Self::all_reduce).
    pub fn barrier(&self) -> Result<()> {
        self.inner.barrier(0).during("barrier")
    }

    /// [`barrier`](Self::barrier) with a timeout of its own.
    ///
    /// # Errors
    /// As [`all_reduce`](Self::all_reduce).
    pub fn barrier_timeout(&self, timeout: Duration) -> Result<()> {
        self.inner.barrier(millis(timeout).max(1)).during("barrier")
    }
}

/// The tensor itself where its elements lie one after the other, else a copy that is so; without its history.
///
/// Gloo walks a tensor's memory from its first element on, whatever the strides say.
fn dense(tensor: &Tensor, operation: &'static str) -> Result<Tensor> {
    if tensor.is_sparse() {
        return Err(Error::argument(operation, "the tensor is sparse; make it dense with `to_dense` first"));
    }
    tensor.f_detach().and_then(|detached| detached.f_contiguous()).during(operation)
}

/// Runs a collective on a tensor's elements and leaves the result in the tensor.
fn in_place(tensor: &mut Tensor, operation: &'static str, run: impl FnOnce(&mut Tensor) -> Result<()>) -> Result<()> {
    let mut elements = dense(tensor, operation)?;
    run(&mut elements)?;
    if !tensor.is_contiguous() {
        tensor.f_detach().and_then(|mut detached| detached.f_copy_(&elements)).during(operation)?;
    }
    Ok(())
}
