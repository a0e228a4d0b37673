//! A group of ranks and its collectives.

mod all_to_all;
mod backend;
mod barrier;
mod broadcast;
pub(crate) mod call;
mod debug;
mod elements;
mod gather;
mod object;
mod observe;
mod point_to_point;
mod reduce;
mod subgroup;

use std::cell::{Cell, OnceCell};
use std::time::Duration;

pub use backend::Backend;
use cxx::UniquePtr;
pub use observe::{Moment, Observer};
pub use reduce::ReduceOp;

use self::call::Call;
use crate::bridge::ffi;
#[cfg(doc)]
use crate::error::Error;
use crate::error::{During, Result};
use crate::millis;
use crate::store::{PrefixStore, Store};

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

/// The options of a [`ProcessGroup`]. Every rank gives the same, but for the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupOptions<'a> {
    /// How long a collective waits, and the group for its ranks to join. PyTorch's default is 30 minutes.
    pub timeout: Duration,
    /// Where Gloo listens.
    pub interface: Interface<'a>,
    /// What carries the tensors.
    pub backend: Backend,
    /// Compare what the ranks are about to do before each collective, as PyTorch does with
    /// `TORCH_DISTRIBUTED_DEBUG=DETAIL`: where they differ in the operation, its options, shapes or dtypes, every rank gets
    /// [`Error::Desynchronised`], which says what each was doing, and where a rank does not come, an [`Error::Timeout`] that
    /// says who did. Without it such a group hangs until the timeout, or Gloo ends its processes.
    ///
    /// It costs each collective a wait for all ranks and three calls of the store and one more for each rank: about a
    /// millisecond over TCP, 10 to 20 in a file (which is polled, and grows). Not compared are sends and receives, which not
    /// all ranks take part in, and what [`DistributedDataParallel`](crate::DistributedDataParallel) sends.
    pub debug: bool,
}

impl Default for GroupOptions<'_> {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30 * 60),
            interface: Interface::Default,
            backend: Backend::default(),
            debug: false,
        }
    }
}

/// A group of ranks that run collectives together, over libtorch's Gloo, or over NCCL for CUDA tensors: a [`Backend`]. See
/// `torch.distributed.ProcessGroup`.
///
/// Every rank of the group must call the same collectives in the same order, with tensors that fit together. What does not
/// fit on one rank is an error before anything is sent. What does not fit between ranks only they can find out:
/// [`GroupOptions::debug`] makes them. Without it Gloo ends the process of a rank that is sent more than it expects.
///
/// Each collective has a blocking form and, with `_async` to its name, one that gives a [`Work`](crate::Work). The objects'
/// and [`monitored_barrier`](Self::monitored_barrier) block only, as in PyTorch.
///
/// Errors of the collectives, besides their own: [`Error::Argument`] for what cannot be right; [`Error::Timeout`] and
/// [`Error::Backend`] ([`Error::Nccl`]) where a rank is late or gone; [`Error::Torch`] where libtorch refuses a tensor. After the second and
/// third kind the group is of no use, and a tensor that was to be changed holds rubbish.
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
    timeout: Cell<Duration>,
    terms: Terms,
    observer: Cell<Option<Observer>>,
    store: Store,
    /// Made when first needed: a connection of the group's own, on which no other wait comes between.
    control: OnceCell<Store>,
    /// How many sub-groups, monitored barriers and compared collectives there have been; the same on every rank.
    subgroups: Cell<u64>,
    barriers: Cell<u64>,
    compared: Cell<u64>,
}

/// What a group hands down to its sub-groups.
#[derive(Debug, Clone)]
struct Terms {
    /// As [`Interface`].
    hostname: String,
    backend: Backend,
    debug: bool,
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
    /// As [`with_options`](Self::with_options).
    pub fn gloo(
        store: &Store,
        rank: usize,
        world_size: usize,
        timeout: Duration,
        interface: Interface<'_>,
    ) -> Result<Self> {
        let options = GroupOptions { timeout, interface, ..GroupOptions::default() };
        Self::with_options(store, rank, world_size, options)
    }

    /// Joins a Gloo group of `world_size` ranks; returns when all have joined.
    ///
    /// # Errors
    /// [`Error::Argument`] where `rank` is not below `world_size`; [`Error::Timeout`] or [`Error::Store`] where a rank does
    /// not come in time.
    pub fn with_options(store: &Store, rank: usize, world_size: usize, options: GroupOptions<'_>) -> Result<Self> {
        let hostname = match options.interface {
            Interface::Loopback => "127.0.0.1",
            Interface::Host(name) => name,
            Interface::Default => "",
        };
        let operation = match options.backend {
            Backend::Gloo => "ProcessGroup::gloo",
            #[cfg(feature = "nccl")]
            Backend::Nccl { .. } => "ProcessGroup::with_options",
        };
        let terms = Terms { hostname: hostname.to_owned(), backend: options.backend, debug: options.debug };
        Self::join(operation, store, (rank, world_size), options.timeout, terms)
    }

    fn join(
        operation: &'static str,
        store: &Store,
        (rank, world_size): (usize, usize),
        timeout: Duration,
        terms: Terms,
    ) -> Result<Self> {
        let call = Call::new(operation, rank, world_size, terms.backend);
        call.rank_in_group("rank", rank)?;
        #[cfg(feature = "nccl")]
        let device = terms.backend.nccl_device(operation)?;
        let timeout_ms = millis(timeout).max(1);
        #[cfg_attr(not(feature = "nccl"), expect(unused_mut, reason = "NCCL is added to it"))]
        let mut inner = call.result(ffi::new_gloo_group(
            store.bridge(),
            rank as i32,
            world_size as i32,
            timeout_ms,
            &terms.hostname,
            terms.backend == Backend::Gloo,
        ))?;
        // Gloo returns when this rank's connections stand; a rank that left now would fail those that still connect.
        call.result(call.result(inner.barrier(0))?.wait())?;
        #[cfg(feature = "nccl")]
        if let Some(device) = device {
            call.result(ffi::add_nccl(inner.pin_mut(), store.bridge(), device, timeout_ms))?;
        }
        Ok(Self {
            inner,
            rank,
            world_size,
            timeout: Cell::new(timeout),
            terms,
            observer: Cell::new(None),
            store: store.share(),
            control: OnceCell::new(),
            subgroups: Cell::new(0),
            barriers: Cell::new(0),
            compared: Cell::new(0),
        })
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

    /// How long a collective waits.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout.get()
    }

    /// How long a collective waits from now on.
    ///
    /// # Errors
    /// Where the backend refuses it.
    pub fn set_timeout(&self, timeout: Duration) -> Result<()> {
        self.inner.set_timeout(millis(timeout).max(1)).during("ProcessGroup::set_timeout")?;
        self.timeout.set(timeout);
        Ok(())
    }

    /// Leaves the group at once, whatever is under way: NCCL's communicators end, and with them what the device waits for.
    /// The other ranks' collectives fail. Dropping a group lets come to its end what it has begun. See
    /// `torch.distributed.ProcessGroup.abort`, which does nothing over Gloo: there this is a drop.
    ///
    /// # Errors
    /// [`Error::Nccl`] where NCCL cannot end its communicators within the group's timeout.
    pub fn abort(self) -> Result<()> {
        self.call("abort").result(self.inner.abort())
    }

    fn patience(&self) -> i64 {
        millis(self.timeout.get()).max(1)
    }

    fn call(&self, operation: &'static str) -> Call {
        Call::new(operation, self.rank, self.world_size, self.terms.backend).observed_by(self.observer.get())
    }

    /// The part of the store in which the group keeps its own keys.
    fn control(&self) -> Result<&Store> {
        if let Some(store) = self.control.get() {
            return Ok(store);
        }
        let store = PrefixStore::over("control", &self.store.try_clone()?)?;
        Ok(self.control.get_or_init(|| store))
    }
}

/// The number that a counter had, which then counts on.
fn next(counter: &Cell<u64>) -> u64 {
    counter.replace(counter.get() + 1)
}
