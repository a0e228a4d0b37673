//! One error for everything that libtorch can throw.

/// A [`std::result::Result`] with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong in libtorch, by the class of the C++ exception, or an argument that was refused before the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A store or a collective waited longer than its timeout: `c10d::TimeoutError`.
    #[error("{operation} timed out: {message}")]
    Timeout {
        /// The call, such as `all_reduce`.
        operation: &'static str,
        /// libtorch's own words.
        message: String,
    },
    /// The store failed: `c10::DistStoreError`.
    #[error("{operation} failed in the store: {message}")]
    Store {
        /// The call, such as `Store::get`.
        operation: &'static str,
        /// libtorch's own words.
        message: String,
    },
    /// A socket failed: `c10::DistNetworkError`.
    #[error("{operation} failed on the network: {message}")]
    Network {
        /// The call, such as `TcpStore::connect`.
        operation: &'static str,
        /// libtorch's own words.
        message: String,
    },
    /// The backend failed, as Gloo does when a peer's connection closes.
    #[error("{operation} failed in the process group: {message}")]
    Backend {
        /// The call, such as `all_reduce`.
        operation: &'static str,
        /// libtorch's or Gloo's own words.
        message: String,
    },
    /// NCCL failed, here or on another rank.
    #[error("{operation} failed in NCCL, first on rank {rank}: {message}")]
    Nccl {
        /// The call, such as `all_reduce`.
        operation: &'static str,
        /// The first rank of the group to report a failure.
        rank: usize,
        /// What NCCL says on this rank: its error, such as `ncclRemoteError`, and the one that it had last.
        message: String,
    },
    /// libtorch refused the call: `c10::Error`, such as a shape or a dtype that does not fit.
    #[error("{operation}: {message}")]
    Torch {
        /// The call, such as `fused_adam`.
        operation: &'static str,
        /// libtorch's own words.
        message: String,
    },
    /// The ranks of a group call different things, or with tensors that do not fit together; nothing was called.
    #[error("{operation}: {message}")]
    Desynchronised {
        /// The call on this rank, such as `all_reduce`.
        operation: &'static str,
        /// What each rank was doing.
        message: String,
    },
    /// A value could not be written for the other ranks, or not read from what one of them sent.
    #[error("{operation}: {message}")]
    Object {
        /// The call, such as `broadcast_object`.
        operation: &'static str,
        /// Whose value it is, and serde's words.
        message: String,
    },
    /// The program runs with another libtorch than it was compiled for; nothing was called.
    #[error(
        "{operation}: compiled for libtorch {compiled}, loaded libtorch {loaded}; have LD_LIBRARY_PATH, or the program's \
         rpath, lead to the former, or compile the program with LIBTORCH set to the latter"
    )]
    Version {
        /// The call, such as `FileStore::open`.
        operation: &'static str,
        /// The version of the headers, such as `2.13.0`.
        compiled: String,
        /// The version of the library.
        loaded: String,
    },
    /// An argument that cannot be right; nothing was called.
    #[error("{operation}: {message}")]
    Argument {
        /// The call, such as `ProcessGroup::gloo`.
        operation: &'static str,
        /// What is wrong, and what would be right.
        message: String,
    },
}

impl Error {
    /// True where a peer has gone or the network has failed, so that this rank's error is likely another's consequence.
    #[must_use]
    pub fn is_peer_failure(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Network { .. } | Self::Backend { .. } | Self::Nccl { .. } => true,
            Self::Store { .. }
            | Self::Torch { .. }
            | Self::Desynchronised { .. }
            | Self::Object { .. }
            | Self::Version { .. }
            | Self::Argument { .. } => false,
        }
    }

    /// The same error with other words, where the words are not this crate's alone.
    pub(crate) fn with_message(mut self, change: impl FnOnce(&str) -> String) -> Self {
        match &mut self {
            Self::Timeout { message, .. }
            | Self::Store { message, .. }
            | Self::Network { message, .. }
            | Self::Backend { message, .. }
            | Self::Nccl { message, .. }
            | Self::Torch { message, .. }
            | Self::Desynchronised { message, .. }
            | Self::Object { message, .. }
            | Self::Argument { message, .. } => *message = change(message),
            Self::Version { .. } => {}
        }
        self
    }

    pub(crate) fn argument(operation: &'static str, message: impl Into<String>) -> Self {
        Self::Argument { operation, message: message.into() }
    }
}

/// Names the call for the errors of a bridge function.
pub(crate) trait During<T> {
    fn during(self, operation: &'static str) -> Result<T>;
}

impl<T> During<T> for Result<T, cxx::Exception> {
    fn during(self, operation: &'static str) -> Result<T> {
        self.map_err(|exception| from_message(operation, exception.what()))
    }
}

impl<T> During<T> for Result<T, tch::TchError> {
    fn during(self, operation: &'static str) -> Result<T> {
        self.map_err(|error| {
            // libtorch adds a C++ backtrace; the first paragraph says what happened.
            let text = error.to_string();
            let end = text.find("\nException raised from").unwrap_or(text.len());
            Error::Torch { operation, message: text[..end].trim().to_owned() }
        })
    }
}

/// Reads the class letter that `trycatch` in `cpp/tensors.h` puts before the message.
fn from_message(operation: &'static str, what: &str) -> Error {
    let mut chars = what.chars();
    let class = chars.next();
    let (rank, message) = match class {
        Some('L') => {
            chars.as_str().split_once(' ').map_or((None, chars.as_str()), |(rank, rest)| (rank.parse().ok(), rest))
        }
        _ => (None, chars.as_str()),
    };
    let message = message.trim().to_owned();
    // Timeouts that have no class of their own: Gloo's is a plain exception, a FileStore's a `c10::Error`, a TCPStore's a
    // `DistStoreError`.
    let timeout = match class {
        Some('X') => message.contains("Timed out waiting"),
        Some('C' | 'S') => ["Wait timeout", "wait timeout after", "Timeout waiting for key"].iter().any(|words| {
            message.starts_with(words) || message.contains(&format!("connectFullMesh failed with {words}"))
        }),
        // Of libtorch's watchdog, or of a wait that blocks.
        Some('L') => message.contains("collective operation timeout") || message.contains("timed out in blocking wait"),
        class => class == Some('T'),
    };
    // A peer's failure while the group forms, which libtorch dresses up as its own.
    let peer = message.contains("connectFullMesh failed");
    match class {
        _ if timeout => Error::Timeout { operation, message },
        Some('S') => Error::Store { operation, message },
        Some('N') => Error::Network { operation, message },
        Some('L') => Error::Nccl { operation, rank: rank.unwrap_or_default(), message },
        Some('B' | 'X') => Error::Backend { operation, message },
        Some('C') if peer => Error::Backend { operation, message },
        _ => Error::Torch { operation, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_letter_chooses_the_variant() {
        let variant = |what| from_message("op", what);
        assert_eq!(variant("Tlate"), Error::Timeout { operation: "op", message: "late".into() });
        assert_eq!(variant("Nreset"), Error::Network { operation: "op", message: "reset".into() });
        assert_eq!(variant("Cshape"), Error::Torch { operation: "op", message: "shape".into() });
        assert!(matches!(variant("X[tcp] Timed out waiting 100ms for recv"), Error::Timeout { .. }));
        assert!(matches!(variant("X[tcp] Connection reset by peer"), Error::Backend { .. }));
        assert_eq!(
            variant("L3 NCCL error in: NCCLUtils.cpp:81, ncclRemoteError"),
            Error::Nccl {
                operation: "op",
                rank: 3,
                message: "NCCL error in: NCCLUtils.cpp:81, ncclRemoteError".into()
            }
        );
        let late = "L0 [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1) ran for 60 ms";
        assert!(matches!(variant(late), Error::Timeout { .. }));
        assert!(matches!(
            variant("CGloo connectFullMesh failed with [tcp] Connection closed by peer"),
            Error::Backend { .. }
        ));
    }
}
