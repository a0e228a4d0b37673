//! What the channel's files name of the crate `trainloop`, without libtorch: names and shapes, and nothing that is fuzzed.

pub(crate) mod error {
    use std::path::{Path, PathBuf};

    pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

    #[derive(Debug)]
    pub(crate) enum Error {
        Io { action: &'static str, path: PathBuf, source: std::io::Error },
        Said(String),
    }

    impl Error {
        pub(crate) fn channel(message: impl Into<String>) -> Self {
            Self::Said(message.into())
        }

        pub(crate) fn config(message: impl Into<String>) -> Self {
            Self::Said(message.into())
        }

        pub(crate) fn serde(action: &'static str, reason: impl std::fmt::Display) -> Self {
            Self::Said(format!("cannot {action}: {reason}"))
        }

        pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Self + 'a {
            move |source| Self::Io { action, path: path.to_owned(), source }
        }
    }

    impl std::fmt::Display for Error {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{self:?}")
        }
    }
}

pub(crate) mod c10d {
    pub(crate) enum Moment {
        Begun,
        Waiting,
        Pending,
        Ended,
    }
}

pub(crate) mod callback {
    pub(crate) fn described() -> Vec<String> {
        Vec::new()
    }
}

pub(crate) mod controller {
    pub(crate) use crate::records::{from_record, record};
}

pub(crate) mod launch {
    pub(crate) use crate::identity::Identity;
}

pub(crate) mod trainer {
    use serde::{Deserialize, Serialize};

    pub(crate) use crate::checkpoint_config::{Every, WhenBusy};

    #[derive(Debug, Clone, Copy, Serialize, Deserialize)]
    pub(crate) enum Backend {
        Gloo,
    }

    pub(crate) struct Registration {
        pub(crate) name: &'static str,
    }

    impl Registration {
        pub(crate) fn all() -> Vec<Self> {
            Vec::new()
        }
    }
}

pub(crate) mod worker {
    pub(crate) use crate::activity::Doing;
    pub(crate) use crate::step_times::StepTimes;
}
