//! What passes have cost.

use std::time::Duration;

use crate::bridge::ffi;

/// The cost of the passes that libtorch's logger has sampled, of this rank, each the mean of the samples so far; zero before
/// the second pass. See PyTorch's `_get_ddp_logging_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DdpStatistics {
    /// How many passes there were when the last sample was taken.
    pub iterations: u64,
    /// From the begin of a forward pass to that of its backward pass.
    pub forward: Duration,
    /// From the begin of a backward pass until the last gradient was ready.
    pub backward: Duration,
    /// From the begin of the first all-reduce to the end of the last one.
    pub communication: Duration,
    /// The part of [`communication`](Self::communication) that went on beside the backward pass.
    pub overlap: Duration,
}

impl DdpStatistics {
    pub(super) fn new(statistics: &ffi::Statistics) -> Self {
        let nanos = |nanos: i64| Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        Self {
            iterations: u64::try_from(statistics.iterations).unwrap_or(0),
            forward: nanos(statistics.forward_ns),
            backward: nanos(statistics.backward_ns),
            communication: nanos(statistics.communication_ns),
            overlap: nanos(statistics.overlap_ns),
        }
    }
}
