//! What a run is told besides the loop's own config.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{FailureConfig, Resume};
use crate::error::{Error, Result};

/// How many workers, on what.
///
/// `workers(0)`, the default, runs the loop in the calling process: for tests, and for a debugger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalingConfig {
    pub(crate) workers: usize,
    pub(crate) use_gpu: bool,
    pub(crate) start_timeout: Duration,
    pub(crate) collective_timeout: Duration,
}

impl Default for ScalingConfig {
    fn default() -> Self {
        Self {
            workers: 0,
            use_gpu: false,
            start_timeout: Duration::from_secs(120),
            collective_timeout: Duration::from_secs(600),
        }
    }
}

impl ScalingConfig {
    /// So many worker processes; with 0 the loop runs in the calling process.
    #[must_use]
    pub fn workers(workers: usize) -> Self {
        Self { workers, ..Self::default() }
    }

    /// One GPU for each worker.
    #[must_use]
    pub fn use_gpu(mut self, use_gpu: bool) -> Self {
        self.use_gpu = use_gpu;
        self
    }

    /// How long workers may take to start and join; 2 minutes unless said otherwise.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// How long a collective may wait for the other ranks; 10 minutes unless said otherwise.
    #[must_use]
    pub fn collective_timeout(mut self, timeout: Duration) -> Self {
        self.collective_timeout = timeout;
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if self.start_timeout.is_zero() || self.collective_timeout.is_zero() {
            return Err(Error::config("a timeout of zero lets no worker join; give it a duration"));
        }
        if self.use_gpu {
            let wanted = self.workers.max(1);
            let found = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
            if found < wanted {
                let wanted = if wanted == 1 { "1 GPU is".to_owned() } else { format!("{wanted} GPUs are") };
                return Err(Error::config(format!(
                    "{wanted} asked for, one for each worker, and libtorch sees {found} on this machine; \
                     leave out `use_gpu` (`--gpu`), ask for fewer workers, or link a libtorch with CUDA"
                )));
            }
        }
        Ok(())
    }
}

/// Where a run is kept, and under what name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunConfig {
    pub(crate) name: Option<String>,
    pub(crate) storage: PathBuf,
    pub(crate) progress: bool,
    pub(crate) resume: Resume,
    pub(crate) failure: FailureConfig,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            name: None,
            storage: PathBuf::from("runs"),
            progress: true,
            resume: Resume::default(),
            failure: FailureConfig::default(),
        }
    }
}

impl RunConfig {
    /// A run called `name`: the name of its folder in the storage.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// The run's name: the name of its folder in the storage. Without one it is made from the loop's name and the time.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The folder in which runs are kept; `runs` unless said otherwise.
    #[must_use]
    pub fn storage(mut self, folder: impl AsRef<Path>) -> Self {
        folder.as_ref().clone_into(&mut self.storage);
        self
    }

    /// What happens where the storage already has a run of that name; it is gone on with unless said otherwise.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }

    /// What happens after a worker has failed; nothing more unless said otherwise.
    #[must_use]
    pub fn failure(mut self, failure: FailureConfig) -> Self {
        self.failure = failure;
        self
    }

    /// Shows a line for each report, and a bar where standard error is a terminal; on unless said otherwise. The workers'
    /// own output is shown either way.
    #[must_use]
    pub fn progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let Some(name) = &self.name else {
            if self.resume == Resume::Require {
                return Err(Error::config(
                    "`Resume::Require` (`--resume`) goes on with a run by its name, and there is none; give it (`--name`)",
                ));
            }
            return Ok(());
        };
        let reason = if name.is_empty() {
            "is empty"
        } else if name.contains(['/', '\\']) {
            "has a path separator"
        } else if name.starts_with('.') {
            "begins with a dot"
        } else if name.contains(char::is_control) {
            "has a control character"
        } else if name.len() > 200 {
            "is longer than 200 bytes"
        } else {
            return Ok(());
        };
        Err(Error::config(format!(
            "the run name {name:?} {reason}; it is the name of one folder, so use letters, digits, `-` and `_` \
             (the folder around it is the storage)"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_folder_are_refused() {
        for name in ["", "a/b", "a\\b", "..", ".hidden", "a\nb", &"x".repeat(201)] {
            let error = RunConfig::named(name).validate().unwrap_err().to_string();
            assert!(error.contains("the run name"), "{error}");
        }
        RunConfig::named("digits-2.1_ä").validate().unwrap();
        RunConfig::default().validate().unwrap();
        RunConfig::named("digits").resume(Resume::Require).validate().unwrap();
        let error = RunConfig::default().resume(Resume::Require).validate().unwrap_err().to_string();
        assert!(error.contains("--name"), "{error}");
    }
}
