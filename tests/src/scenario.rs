//! What the program `scenario` does on each rank, as a test tells it in JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use trainloop::trainer::Verbosity;

/// A run: the argument of the program `scenario`.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct Scenario {
    /// The run's name.
    pub name: String,
    /// The folder in which runs are kept.
    pub storage: PathBuf,
    /// Each rank's acts; their number is the number of workers.
    pub ranks: Vec<Vec<Act>>,
    /// How long a collective may wait.
    pub collective_timeout_seconds: u64,
    /// How often a worker says that it is alive, and for how long it may say nothing, in milliseconds.
    pub heartbeat: Option<(u64, u64)>,
    /// How long a rank may make no report, in milliseconds.
    pub report_timeout: Option<u64>,
    /// Whether progress is shown.
    pub progress: bool,
    /// How much is shown.
    pub verbosity: Option<Verbosity>,
    /// Calls `fit` once more, with this name, in the same process.
    pub again: Option<String>,
}

/// What a rank does, one after another.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub enum Act {
    /// Prints a line to standard output.
    Print(String),
    /// Prints a line to standard error.
    PrintError(String),
    /// Prints so many bytes without a line end, then ends the line.
    PrintBytes(usize),
    /// Prints bytes that are no UTF-8, without a line end.
    PrintRaw(Vec<u8>),
    /// Prints lines for ever.
    FloodOutput,
    /// Reports for ever.
    FloodReports,
    /// Reports so often.
    Report(u64),
    /// Tells the other ranks that the next act begins.
    Ready,
    /// Waits until so many ranks have said [`Act::Ready`].
    AwaitReady(usize),
    /// Waits for all ranks, in a collective.
    Barrier,
    /// Sums up a number with all ranks.
    AllReduce,
    /// Gathers a tensor from all ranks, on the process group itself.
    GroupAllGather,
    /// Begins to sum up a tensor with all ranks, on the process group itself and in the background.
    GroupBegin,
    /// Waits until that rank, which has said [`Act::Ready`], has returned and its process is gone.
    AwaitEnd(usize),
    /// Has libtorch print a tensor, and warn.
    TorchPrint,
    /// An event of the crate `tracing`, at that level.
    Trace(String, String),
    /// Installs a subscriber of `tracing` that writes lines of its own.
    Subscribe,
    /// Counts so many steps.
    Steps(u64),
    /// Multiplies matrices for so many milliseconds.
    ComputeFor(u64),
    /// Returns an error of anyhow's.
    AnyhowError(String),
    /// Averages a tensor with all ranks, for ever.
    AllReduceForEver,
    /// Waits in no collective, for ever.
    Sleep,
    /// Multiplies matrices for ever.
    Compute,
    /// Starts a process that nobody waits for.
    StartGrandchild,
    /// Panics with these words.
    Panic(String),
    /// Panics with a value that is no string.
    PanicWithoutWords,
    /// Returns an error of the user's own, with a cause.
    UserError,
    /// Returns an error of trainloop's.
    LibraryError,
    /// SIGKILL to itself.
    KillItself,
    /// Ends the process with this code.
    Exit(i32),
}
