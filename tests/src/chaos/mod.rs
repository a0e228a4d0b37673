//! Kills a training run again and again, at random moments and at every step of a commit, starts it again by its name each
//! time, and holds what it ends with against a run that was never killed.
//!
//! `kill` draws the kills, `campaign` does them, `trace` reads what the program `chaos` says that it did.

mod campaign;
mod kill;
mod trace;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use campaign::run;
pub use kill::{Kill, Moment, Victim, draw};

/// How many workers the program has.
pub const WORKERS: usize = 2;
/// Samples of a rank's batch.
pub const BATCH_SIZE: usize = 8;
/// How many batches make one step of the optimizer.
pub const WINDOW: usize = 3;
/// After so many batches comes a checkpoint, inside a window or not.
pub const SAVE_EVERY: u64 = 5;
/// The last global batch is smaller than the others, and so is the last window.
const SAMPLES: usize = 490;

/// What the program `chaos` is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The run's name.
    pub name: String,
    /// How many of the digits.
    pub samples: usize,
    /// How often each is seen.
    pub epochs: u64,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program `chaos`.
    pub program: PathBuf,
    /// Where the runs go.
    pub folder: PathBuf,
    /// How often.
    pub kills: usize,
    /// For which moments.
    pub seed: u64,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Processes that were killed, a driver with its worker counted once.
    pub kills: usize,
    /// The last checkpoint has the very bytes of that of the run that was never killed: weights, optimizer, generators.
    pub bit_equal: bool,
    /// Samples that the other run saw at a place in a batch, and this one did not.
    pub samples_lost: usize,
    /// Samples that this run saw at a place in a batch, and the other did not.
    pub samples_repeated: usize,
    /// Checkpoints that a kill has left half, or that were committed and are not there.
    pub damaged_checkpoints: usize,
}

impl Verdict {
    /// Nothing was lost.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let Self { kills: _, bit_equal, samples_lost, samples_repeated, damaged_checkpoints } = self;
        *bit_equal && [samples_lost, samples_repeated, damaged_checkpoints] == [&0; 3]
    }
}

/// Whatever goes wrong with the campaign itself.
pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;
