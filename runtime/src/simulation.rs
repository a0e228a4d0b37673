//! The controller alone, and ranks that are no more than their words: for this project's own measurements, behind the feature
//! `simulation`, and no part of what the crate promises.
//!
//! The controller is the one of every run, with its door, its poll, its decoder, its ledger; a rank is a connection in a process
//! that holds thousands, waits on one poll, and says what a worker says.

mod control;
mod ranks;

use std::num::NonZeroU64;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use control::{Timeline, control};
pub use ranks::ranks;

/// What the ranks do, all of them the same: they begin, make checkpoint 0, which none leaves before the last has come, make
/// their reports, make the other checkpoints, one after the other, and return.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The run's folder, which is there.
    pub run: PathBuf,
    /// How many ranks there are.
    pub ranks: usize,
    /// How many reports each makes.
    pub reports: u64,
    /// How many checkpoints follow the reports. Each rank's part of one is a file.
    pub checkpoints: NonZeroU64,
    /// None returns: each goes on with its heartbeats and a report a second, until this one's connection ends without a word.
    pub dies: Option<usize>,
}
