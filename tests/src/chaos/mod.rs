//! What a training run lives through.
//!
//! [`run`] kills one again and again, at random moments and at every step of a commit, starts it again by its name each time,
//! and holds what it ends with against a run that was never killed: `kill` draws the kills, `campaign` does them. [`endure`]
//! lets one run meet faults of all kinds, after which its driver starts the group again by itself: `fault` draws them, `inject`
//! does them, `endurance` watches. `trace` reads what the program `chaos` says that it did.

mod campaign;
mod endurance;
mod fault;
mod inject;
mod kill;
mod random;
mod trace;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub use campaign::run;
pub use endurance::endure;
pub use fault::{Fault, KINDS, Planned, draw_faults};
pub use inject::Process;
pub use kill::{Kill, Moment, Victim, draw};

/// How many workers the program has.
pub const WORKERS: usize = 2;
/// Samples of a rank's batch.
pub const BATCH_SIZE: usize = 8;
/// How many batches make one step of the optimizer.
pub const WINDOW: usize = 3;
/// What the program `chaos` is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The run's name.
    pub name: String,
    /// How many of the digits.
    pub samples: usize,
    /// How often each is seen.
    pub epochs: u64,
    /// After so many batches comes a checkpoint, inside a window or not.
    pub save_every: u64,
    /// The group starts again by itself after a failure; nothing may be heard of a rank for so many milliseconds.
    pub lives_on_after_ms: Option<u64>,
}

impl Plan {
    /// One of the run's files in that folder.
    fn file(&self, folder: &Path, suffix: &str) -> PathBuf {
        folder.join(format!("{}-{suffix}", self.name))
    }

    /// Starts the program in that folder, with faults as the environment tells it.
    fn start(&self, program: &Path, folder: &Path, fault: &str) -> Result<Child> {
        let file = |suffix| self.file(folder, suffix);
        let mut command = Command::new(program);
        command.arg(serde_json::to_string(self)?).current_dir(folder).stdin(Stdio::null());
        command.stdout(File::create(file("stdout"))?).stderr(File::create(file("stderr"))?);
        command.env("TRAINLOOP_FAULT", fault).env("TRAINLOOP_FAULT_LOG", file("faults"));
        command.env("TRAINLOOP_FAULT_GATE", file("gate"));
        // As many threads in all ranks, whatever the machine has: sums over threads differ in their last bits.
        command.env("OMP_NUM_THREADS", "1").env_remove("RUST_BACKTRACE");
        Ok(command.spawn()?)
    }
}

/// Seconds since 1970, which mean the same to all processes of the machine.
#[must_use]
pub fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
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

/// What a run is to live through.
#[derive(Debug, Clone)]
pub struct Ordeal {
    /// The program `chaos`.
    pub program: PathBuf,
    /// Where the runs go.
    pub folder: PathBuf,
    /// How many faults of each kind.
    pub of_each: usize,
    /// Over which time they are spread.
    pub time: Duration,
    /// For which moments, in which order.
    pub seed: u64,
    /// For how long nothing may be heard of a rank.
    pub silence: Duration,
}

/// How a run has lived through its faults.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Endurance {
    /// How many there were.
    pub faults: usize,
    /// After how many the run went on: for a slow rank in the same generation, for all others in the next.
    pub recovered: usize,
    /// Whether the run stood still until it was given up.
    pub hangs: usize,
    /// Samples that the undisturbed run saw at a place in a batch, and this one did not; `None` where it did not end.
    pub samples_lost: Option<usize>,
    /// From a fault to the first step that all ranks of the next generation have finished, in seconds: the median.
    pub recovery_p50_s: Option<f64>,
    /// And what 95 of 100 did not exceed.
    pub recovery_p95_s: Option<f64>,
    /// Samples that count per second, against the undisturbed run.
    pub throughput_retained: Option<f64>,
    /// Samples that this run saw at a place in a batch, and the undisturbed one did not.
    pub samples_repeated: Option<usize>,
    /// The last checkpoint has the very bytes of the undisturbed run's.
    pub bit_equal: Option<bool>,
}

/// Less than this part of an undisturbed run's samples per second is no life.
pub const THROUGHPUT: f64 = 0.5;

impl Endurance {
    /// Nothing was lost, and all came back; how fast it went is another question.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let nothing = Some(0);
        self.hangs == 0
            && self.recovered == self.faults
            && (self.samples_lost, self.samples_repeated) == (nothing, nothing)
            && self.bit_equal == Some(true)
    }

    /// And it went on fast enough.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.is_whole() && self.throughput_retained.is_some_and(|retained| retained >= THROUGHPUT)
    }
}

/// Whatever goes wrong with the campaign itself.
pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;
