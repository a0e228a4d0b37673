//! What controller and workers say to each other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trainloop_checkpoint::FileEntry;

use super::Token;
use crate::error::{Error, Result};
use crate::launch::Identity;
use crate::trainer::{Backend, Every, WhenBusy};
use crate::worker::{Doing, StepTimes};

/// From a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToController {
    /// Rank 0 serves the group's store on this port.
    Serves {
        port: u16,
    },
    /// This rank has joined the others, and its loop begins.
    LoopBegins,
    /// Sent every so often by a thread of its own: the process runs, and this is what its loop last did.
    Alive(Doing),
    /// One `ctx.report`: its number on this rank, from 0, and the metrics as `MessagePack`.
    Report {
        index: u64,
        /// How many steps were counted.
        steps: u64,
        #[serde(with = "serde_bytes_vec")]
        metrics: Vec<u8>,
    },
    Begun(Begun),
    /// This rank's part of a checkpoint is on disk, or will never be.
    Written(Written),
    /// The loop calls `ctx.step` or `ctx.report_with`, where it can be asked to stop.
    CanStop,
    /// One `ctx.log` of rank 0: its step, and the values as `MessagePack`.
    Logged {
        step: u64,
        #[serde(with = "serde_bytes_vec")]
        values: Vec<u8>,
    },
    /// How far the loader is in its epoch; for the eye alone.
    Progress {
        done: u64,
        total: u64,
    },
    /// The loop returned this, as `MessagePack`.
    Finished {
        #[serde(with = "serde_bytes_vec")]
        output: Vec<u8>,
        /// How long the loop stood still for checkpoints.
        stood_still: Duration,
        /// What its steps took their time for.
        step_times: StepTimes,
    },
    /// The loop has ended as it was asked to, after this many steps.
    Stopped {
        steps: u64,
    },
    Failed(Failure),
}

/// One rank has come to the place of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// The checkpoint's index.
    pub(crate) checkpoint: u64,
    /// The report that it comes with: its number, and the metrics as `MessagePack`.
    pub(crate) report: Option<(u64, Vec<u8>)>,
    /// How many reports the rank has made, that one included.
    pub(crate) reports: u64,
    /// How many steps were counted.
    pub(crate) steps: u64,
}

/// One rank's part of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    /// The checkpoint's index.
    pub(crate) checkpoint: u64,
    /// The files, or why there are none.
    pub(crate) files: Result<Vec<FileEntry>, Missing>,
}

/// Why a rank has no part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Missing {
    /// It could not be written.
    Failed(String),
    /// A newer one is to take its place.
    GivenUp,
}

/// Why a worker's loop ended without a result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) message: String,
    /// File and line of a panic.
    pub(crate) location: Option<String>,
    /// Where `RUST_BACKTRACE` asks for it.
    pub(crate) backtrace: Option<String>,
    /// The error looks like the consequence of a peer's end.
    pub(crate) of_a_peer: bool,
    /// How many reports this rank had made.
    pub(crate) reports: u64,
}

/// To a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    Start(Box<Start>),
    /// Every rank has given its part of a checkpoint.
    Saved {
        checkpoint: u64,
        /// Why it was not committed.
        failed: Option<String>,
        /// The loop is to stop here.
        stop: bool,
    },
    /// A wish: the ranks are to agree on a step at which they save and stop.
    Stop,
}

/// Everything that a worker needs to begin.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools)] // each an option of its own
pub(crate) struct Start {
    /// The driver's, which the worker compares with its own.
    pub(crate) identity: Identity,
    pub(crate) loop_name: String,
    #[serde(with = "serde_bytes_vec")]
    pub(crate) config: Vec<u8>,
    pub(crate) world_size: usize,
    pub(crate) local_rank: usize,
    pub(crate) generation: u64,
    pub(crate) store: StoreAt,
    /// What a worker on another machine must find in a file of the run's folder.
    pub(crate) shared: Option<Shared>,
    pub(crate) use_gpu: bool,
    pub(crate) backend: Backend,
    pub(crate) ddp: bool,
    pub(crate) collective_timeout_ms: u64,
    /// How often the worker says that it is alive.
    pub(crate) heartbeat_ms: u64,
    pub(crate) run_name: String,
    /// The run's folder.
    pub(crate) run: String,
    /// The run's URL, where it lies in object storage.
    pub(crate) storage: Option<String>,
    /// The index of the checkpoint to begin from.
    pub(crate) checkpoint: Option<u64>,
    /// The index of the next checkpoint.
    pub(crate) next_checkpoint: u64,
    /// How many reports were made before.
    pub(crate) reports: u64,
    pub(crate) every: Every,
    pub(crate) when_busy: Option<WhenBusy>,
    /// What rank 0 logs is wanted.
    pub(crate) tracked: bool,
    /// The worker logs what trainloop does.
    pub(crate) verbose: bool,
}

/// Where the ranks' store is, by which their process group finds together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum StoreAt {
    /// In a file, for ranks on one machine.
    File(String),
    /// This rank serves it over TCP, says on which port, and is reached by this name.
    Here { host: String },
    /// Rank 0 serves it.
    There { host: String, port: u16 },
}

/// A file that only those who share the storage can see.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) holds: String,
}

impl Shared {
    /// Makes one in a folder.
    pub(crate) fn write(folder: &Path) -> Result<Self> {
        let path = folder.join("shared");
        let holds = Token::random()?.text().to_owned();
        std::fs::write(&path, &holds).map_err(Error::io("write", &path))?;
        Ok(Self { path, holds })
    }
}

/// Bytes as `MessagePack`'s own byte string, not as a list of numbers.
mod serde_bytes_vec {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}
