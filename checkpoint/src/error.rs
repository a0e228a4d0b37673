//! One error for the whole crate.

use std::path::{Path, PathBuf};

/// A [`std::result::Result`] with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A checkpoint could not be written or is not whole, or a name cannot be in one: the message says which and why.
    #[error("{0}")]
    Checkpoint(String),
    /// A file or folder that could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, such as `read the manifest`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Object storage did not do what was asked of it, or the run there is another driver's: the message says what to do.
    #[error("{0}")]
    Storage(String),
    /// A record could not be turned into bytes.
    #[error("cannot {action}: {reason}")]
    Serde {
        /// What was tried, such as `write to the journal`.
        action: &'static str,
        /// The serializer's reason.
        reason: String,
    },
}

impl Error {
    pub(crate) fn checkpoint(message: impl Into<String>) -> Self {
        Self::Checkpoint(message.into())
    }

    pub(crate) fn storage(message: impl Into<String>) -> Self {
        Self::Storage(message.into())
    }

    pub(crate) fn serde(action: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Serde { action, reason: reason.to_string() }
    }

    /// For `map_err`: names the file that an I/O error was about.
    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// An error and its causes in one line: `cannot open x: permission denied`.
#[must_use]
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // A transparent wrapper repeats the words of what it wraps.
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
