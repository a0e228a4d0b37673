//! Safe Rust over libtorch's own distributed library, c10d, for [`tch`] tensors: the engine that PyTorch itself runs on
//! clusters, with no Python.
//!
//! - [`FileStore`], [`TcpStore`], [`PrefixStore`]: where ranks find each other;
//! - [`ProcessGroup`]: all-reduce, broadcast, all-gather and barrier over Gloo, with timeouts;
//! - [`DistributedDataParallel`]: gradients averaged during the backward pass by c10d's `Reducer`;
//! - [`aten`]: the few functions of libtorch that tch lacks.
//!
//! Every C++ exception is an [`Error`], by its class. All `unsafe` of the project is in this crate.

pub mod aten;
mod bridge;
mod ddp;
mod error;
mod process_group;
mod store;
mod tensors;
mod work;

pub use ddp::{DdpOptions, DistributedDataParallel};
pub use error::{Error, Result};
pub use process_group::{GroupOptions, Interface, ProcessGroup, ReduceOp};
pub use store::{FileStore, HashStore, PrefixStore, Store, TcpStore};
pub use work::{Waited, Work};

/// Whole milliseconds, as c10d counts time; at most ten years, which its clocks can still add to now.
fn millis(duration: std::time::Duration) -> i64 {
    const TEN_YEARS: i64 = 10 * 365 * 24 * 60 * 60 * 1000;
    i64::try_from(duration.as_millis()).map_or(TEN_YEARS, |millis| millis.min(TEN_YEARS))
}
