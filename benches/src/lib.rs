//! Measurements of trainloop: one program for each in `src/bin/`, run by `cargo xtask bench NAME`.
//!
//! A figure is a median within one run; the machines that these run on are shared, so compare figures of one run alone.

mod compare;
mod peer;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use compare::{Comparison, OURS, PEER, PEER_FUSED, Times};
pub use peer::{Peer, ranks};

/// The middle value; `None` where there is none.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Since 1970: the one clock that processes of a machine share.
#[must_use]
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
