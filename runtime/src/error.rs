//! One error for the whole crate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use trainloop_checkpoint::with_causes;

use crate::controller::RunFailure;
use crate::trainer::Unfinished;

/// A [`std::result::Result`] with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error, as a train loop may return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong before, in, and after a run. `Debug` prints the same words as `Display`, with the causes, since a
/// `main` that returns this error prints it so.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value of the configuration that cannot be right; nothing was started.
    #[error("{0}")]
    Config(String),
    /// A file or folder that could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, such as `create the run folder`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A rank failed and the run was ended.
    #[error("{0}")]
    Run(Box<RunFailure>),
    /// The run was ended by a signal: 2 is SIGINT, 15 is SIGTERM.
    #[error("the run was ended by signal {signal}{}; its folder is {}", after(*.steps), run.display())]
    Interrupted {
        /// The step at which all ranks made a checkpoint; `None` where the loop could not be asked.
        steps: Option<u64>,
        /// The signal's number.
        signal: i32,
        /// The run's folder.
        run: PathBuf,
        /// What there is of the run.
        outcome: Option<Arc<Unfinished>>,
    },
    /// The loop is to stop here: the run was asked to, and its checkpoint is committed. A loop passes this on with `?`.
    #[error("the run was asked to stop; it is saved and can be gone on with")]
    Stopped,
    /// The channel between controller and workers failed.
    #[error("{0}")]
    Channel(String),
    /// A process group, a collective or a kernel of libtorch failed.
    #[error(transparent)]
    C10d(#[from] trainloop_c10d::Error),
    /// An operation of tch failed.
    #[error("libtorch: {0}")]
    Torch(String),
    /// An optimizer was asked for something impossible.
    #[error("{0}")]
    Optimizer(String),
    /// A checkpoint could not be written, read, or restored.
    #[error("{0}")]
    Checkpoint(String),
    /// Object storage did not do what was asked of it, or the run there is another driver's: the message says what to do.
    #[error("{0}")]
    Storage(String),
    /// A data file is not what it should be.
    #[error("{}: {reason}", path.display())]
    DataFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A dataset failed on one sample.
    #[error("the dataset failed on sample {index}")]
    Sample {
        /// The sample's index in the dataset.
        index: usize,
        /// The dataset's own error.
        source: BoxError,
    },
    /// A streamed dataset failed on one sample.
    #[error("the dataset failed on sample {index} of shard {shard}")]
    ShardSample {
        /// The shard.
        shard: usize,
        /// The sample's number in the shard, from 0.
        index: u64,
        /// The dataset's own error.
        source: BoxError,
    },
    /// A value could not be turned into bytes, or back.
    #[error("cannot {action}: {reason}")]
    Serde {
        /// What was tried, such as `read the config`.
        action: &'static str,
        /// The serializer's reason.
        reason: String,
    },
    /// A callback failed or panicked, which ends the run.
    #[error("callback `{name}` ({place}) failed")]
    Callback {
        /// The function's name.
        name: &'static str,
        /// Its file and line.
        place: String,
        /// The callback's own error.
        source: BoxError,
        /// What there is of the run; `None` in a worker, and before the run has begun.
        outcome: Option<Arc<Unfinished>>,
    },
    /// The loop of a run without workers failed.
    #[error(transparent)]
    Loop(LoopError),
    /// Another rank failed in what all ranks do together; its own error has the causes.
    #[error("rank {rank} failed in {operation}: {message}")]
    Peer {
        /// The rank.
        rank: usize,
        /// The call, such as `main_rank_first`.
        operation: &'static str,
        /// That rank's words.
        message: String,
    },
    /// An error of the user's own.
    #[error(transparent)]
    Other(BoxError),
}

/// The error of a loop that ran in the driver's own process, with `workers(0)`: it is told with the loop's own words.
pub struct LoopError {
    error: BoxError,
    outcome: Option<Arc<Unfinished>>,
}

impl LoopError {
    pub(crate) fn new(error: BoxError) -> Self {
        Self { error, outcome: None }
    }

    /// What the loop returned, to be downcast.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self.error.as_ref()
    }
}

impl std::fmt::Display for LoopError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl std::fmt::Debug for LoopError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for LoopError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl Error {
    /// Wraps any error, such as one of a dataset's own.
    pub fn other(error: impl Into<BoxError>) -> Self {
        Self::Other(error.into())
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::Config(message.into())
    }

    pub(crate) fn optimizer(message: impl Into<String>) -> Self {
        Self::Optimizer(message.into())
    }

    pub(crate) fn checkpoint(message: impl Into<String>) -> Self {
        Self::Checkpoint(message.into())
    }

    pub(crate) fn channel(message: impl Into<String>) -> Self {
        Self::Channel(message.into())
    }

    pub(crate) fn data_file(path: &Path, reason: impl Into<String>) -> Self {
        Self::DataFile { path: path.to_owned(), reason: reason.into() }
    }

    pub(crate) fn serde(action: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Serde { action, reason: reason.to_string() }
    }

    /// For `map_err`: names the file that an I/O error was about.
    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// The failure of a run, with the rank that failed first.
    #[must_use]
    pub fn run_failure(&self) -> Option<&RunFailure> {
        match self {
            Self::Run(failure) => Some(failure),
            _ => None,
        }
    }

    /// What there is of the run that ended with this error: metrics, latest and best checkpoint. It comes with
    /// [`Run`](Self::Run), [`Loop`](Self::Loop), [`Interrupted`](Self::Interrupted) and [`Callback`](Self::Callback), from
    /// [`fit`](crate::trainer::TorchTrainer::fit). See the example at [`Unfinished`].
    #[must_use]
    pub fn outcome(&self) -> Option<&Unfinished> {
        match self {
            Self::Run(failure) => failure.outcome.as_deref(),
            Self::Loop(error) => error.outcome.as_deref(),
            Self::Interrupted { outcome, .. } | Self::Callback { outcome, .. } => outcome.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn with_outcome(mut self, so_far: Unfinished) -> Self {
        match &mut self {
            Self::Run(failure) => failure.outcome = Some(Arc::new(so_far)),
            Self::Loop(error) => error.outcome = Some(Arc::new(so_far)),
            Self::Interrupted { outcome, .. } | Self::Callback { outcome, .. } => *outcome = Some(Arc::new(so_far)),
            _ => {}
        }
        self
    }
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&with_causes(self))
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        // libtorch adds a C++ backtrace of some fifty lines; the first paragraph says what happened.
        let text = error.to_string();
        let end = text.find("\nException raised from").unwrap_or(text.len());
        Self::Torch(text[..end].trim().to_owned())
    }
}

impl From<trainloop_checkpoint::Error> for Error {
    fn from(error: trainloop_checkpoint::Error) -> Self {
        use trainloop_checkpoint::Error as Inner;
        match error {
            Inner::Checkpoint(message) => Self::Checkpoint(message),
            Inner::Io { action, path, source } => Self::Io { action, path, source },
            Inner::Storage(message) => Self::Storage(message),
            Inner::Serde { action, reason } => Self::Serde { action, reason },
            other => Self::Checkpoint(with_causes(&other)),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.into())
    }
}

fn after(steps: Option<u64>) -> String {
    steps
        .map(|steps| format!(" after step {steps}, where it was saved; the same name goes on from there"))
        .unwrap_or_default()
}

/// True where an error is likely the consequence of another rank's end: a collective that failed.
pub(crate) fn is_peer_failure(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<trainloop_c10d::Error>() {
            return error.is_peer_failure();
        }
        if matches!(error.downcast_ref::<Error>(), Some(Error::Peer { .. })) {
            return true;
        }
        let text = error.to_string();
        // A failed all-reduce inside `backward` comes through tch as text.
        if text.contains("gloo")
            || text.contains("NCCL error")
            || text.contains("Connection closed by peer")
            || text.contains("Connection reset by peer")
        {
            return true;
        }
        next = error.source();
    }
    false
}
