//! Safe Rust over libtorch's own distributed library, c10d, for [`tch`] tensors: the engine that PyTorch itself runs on
//! clusters, with no Python. The README has a whole program of two processes.
//!
//! | What | Where | In the background |
//! |---|---|---|
//! | stores: where ranks find each other | [`FileStore`], [`TcpStore`], [`HashStore`], [`PrefixStore`] | |
//! | a group of ranks, over Gloo | [`ProcessGroup::gloo`] | |
//! | over NCCL, or with other options | [`ProcessGroup::with_options`], [`Backend`] | |
//! | groups of some of its ranks | [`subgroup`](ProcessGroup::subgroup), [`split`](ProcessGroup::split) | |
//! | one rank's tensor to all | [`broadcast`](ProcessGroup::broadcast) | yes |
//! | to each rank its own | [`scatter`](ProcessGroup::scatter) | yes |
//! | sums, means, products, extremes, bits | [`all_reduce`](ProcessGroup::all_reduce), [`all_reduce_coalesced`](ProcessGroup::all_reduce_coalesced), [`reduce`](ProcessGroup::reduce) | yes |
//! | a sum that gradients go through | [`all_reduce_with_grad`](ProcessGroup::all_reduce_with_grad) | |
//! | of them each rank its share | [`reduce_scatter`](ProcessGroup::reduce_scatter), [`reduce_scatter_tensor`](ProcessGroup::reduce_scatter_tensor) | yes |
//! | all ranks' tensors to all | [`all_gather`](ProcessGroup::all_gather), [`all_gather_into_tensor`](ProcessGroup::all_gather_into_tensor), [`all_gather_uneven`](ProcessGroup::all_gather_uneven) | yes |
//! | to one | [`gather`](ProcessGroup::gather) | yes |
//! | each rank's shares to each | [`all_to_all`](ProcessGroup::all_to_all), [`all_to_all_uneven`](ProcessGroup::all_to_all_uneven) | yes |
//! | from one rank to one | [`send`](ProcessGroup::send), [`recv`](ProcessGroup::recv) | yes |
//! | waiting for all | [`barrier`](ProcessGroup::barrier) | yes |
//! | and naming who is missing | [`monitored_barrier`](ProcessGroup::monitored_barrier) | |
//! | values that serde can write | [`broadcast_object`](ProcessGroup::broadcast_object), [`all_gather_object`](ProcessGroup::all_gather_object), [`gather_object`](ProcessGroup::gather_object), [`scatter_object`](ProcessGroup::scatter_object) | |
//! | comparing what the ranks do | [`GroupOptions::debug`] | |
//! | knowing what this rank does | [`observe`](ProcessGroup::observe) | |
//! | gradients averaged in the backward pass | [`DistributedDataParallel`], by c10d's `Reducer` | |
//! | what tch lacks of libtorch | [`aten`] | |
//!
//! What goes in the background has a second form with `_async` to its name, which gives a [`Work`].
//!
//! Where libtorch's Gloo lacks something, it is made of what there is: the mean is a sum that is divided afterwards; an uneven
//! all-gather fills up the shorter tensors; dtypes that Gloo does not know are moved as bytes (and cannot be combined);
//! sends and receives are waited for by a thread each; the monitored barrier and sub-groups go over the store.
//!
//! The libtorch that a program has loaded must be of the series that it was compiled for: [`check_libtorch`], which the first
//! store calls.
//!
//! Every C++ exception is an [`Error`], by its class. All `unsafe` of the project is in this crate.

pub mod aten;
mod bridge;
mod ddp;
mod device;
mod error;
mod process_group;
mod store;
mod tensors;
mod version;
mod work;

pub use ddp::{Compression, DdpOptions, DdpStatistics, DistributedDataParallel, GradBucket, JoinOptions};
pub use error::{Error, Result};
pub use process_group::{Backend, GroupOptions, Interface, Moment, Observer, ProcessGroup, ReduceOp};
pub use store::{FileStore, HashStore, PrefixStore, Store, TcpStore};
pub use version::check_libtorch;
pub use work::{Waited, Work};

/// Whole milliseconds, as c10d counts time; at most ten years, which its clocks can still add to now.
fn millis(duration: std::time::Duration) -> i64 {
    const TEN_YEARS: i64 = 10 * 365 * 24 * 60 * 60 * 1000;
    i64::try_from(duration.as_millis()).map_or(TEN_YEARS, |millis| millis.min(TEN_YEARS))
}

/// The README's program, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
