//! Where a run is kept, under what name, and what happens where there is one already, or it fails.

use std::path::{Path, PathBuf};

use super::Verbosity;
use crate::error::{Error, Result};
use crate::tracker::{Given, Tracker};

/// Where a run is kept, and under what name.
///
/// What is not said here stays as the loop's attribute says, and without that as described at each method.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunConfig {
    pub(crate) name: Option<String>,
    pub(crate) storage: Option<PathBuf>,
    pub(crate) progress: Option<bool>,
    pub(crate) verbosity: Option<Verbosity>,
    pub(crate) resume: Option<Resume>,
    pub(crate) failure: Option<FailureConfig>,
    pub(crate) trackers: Given,
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

    /// The folder in which runs are kept; `runs` unless said otherwise. With the feature `object-store` also a URL:
    /// `s3://bucket/runs`, `gs://…`, `az://…`, or `memory://…` for `workers(0)`.
    #[must_use]
    pub fn storage(mut self, folder: impl AsRef<Path>) -> Self {
        self.storage = Some(folder.as_ref().to_owned());
        self
    }

    /// What happens where the storage already has a run of that name; it is gone on with unless said otherwise.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = Some(resume);
        self
    }

    /// What happens after a worker has failed; nothing more unless said otherwise.
    #[must_use]
    pub fn failure(mut self, failure: FailureConfig) -> Self {
        self.failure = Some(failure);
        self
    }

    /// Shows a line for each report, a bar where standard error is a terminal, and a line at the end; on unless said
    /// otherwise. What the workers print is shown either way; [`verbosity`](Self::verbosity) says otherwise.
    #[must_use]
    pub fn progress(mut self, progress: bool) -> Self {
        self.progress = Some(progress);
        self
    }

    /// How much of the run is shown: [`Verbosity::Normal`] unless said otherwise. `--quiet` and `--verbose` of the
    /// [command line](crate::cli) say the same.
    ///
    /// What a rank prints, be it by the loop, by libtorch or by the crate `tracing`, is in `logs/rank-N.log` of the run's
    /// folder whatever is shown. A worker whose program installs no `tracing` subscriber has one that writes to standard
    /// error, with the rank and the step of each event; the variable `TRAINLOOP_LOG` says what it logs, in the words of
    /// `RUST_LOG` (`debug`, `info,my_crate=trace`), and `info` unless said otherwise. A subscriber of the program's own is
    /// installed in the loop, before its first call of the context (`main`'s body runs in no worker), and has the spans
    /// `worker` (`rank`, `generation`) and `step` (`step`).
    #[must_use]
    pub fn verbosity(mut self, verbosity: Verbosity) -> Self {
        self.verbosity = Some(verbosity);
        self
    }

    /// Hands what the run reports and logs to this tracker, too: [`Csv`](crate::tracker::Csv),
    /// [`JsonLines`](crate::tracker::JsonLines), [`TensorBoard`](crate::tracker::TensorBoard), or one of your own. May be
    /// called several times.
    #[must_use]
    pub fn tracker(mut self, tracker: impl Tracker + 'static) -> Self {
        self.trackers.add(tracker);
        self
    }

    /// What is said here, and of the rest what `defaults` says.
    pub(crate) fn over(self, defaults: Self) -> Self {
        Self {
            name: self.name.or(defaults.name),
            storage: self.storage.or(defaults.storage),
            progress: self.progress.or(defaults.progress),
            verbosity: self.verbosity.or(defaults.verbosity),
            resume: self.resume.or(defaults.resume),
            failure: self.failure.or(defaults.failure),
            trackers: self.trackers.or(defaults.trackers),
        }
    }

    pub(crate) fn folder_of_runs(&self) -> &Path {
        self.storage.as_deref().unwrap_or(Path::new("runs"))
    }

    pub(crate) fn shows_progress(&self) -> bool {
        self.progress.unwrap_or(true)
    }

    pub(crate) fn shown(&self) -> Verbosity {
        self.verbosity.unwrap_or_default()
    }

    pub(crate) fn on_existing(&self) -> Resume {
        self.resume.unwrap_or_default()
    }

    pub(crate) fn on_failure(&self) -> FailureConfig {
        self.failure.unwrap_or_default()
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let Some(name) = &self.name else {
            if self.on_existing() == Resume::Require {
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

/// What happens after a worker has failed: by default nothing more.
///
/// A failure before the rank's loop began, such as a worker that never joined, is a failure of the *start*, and is counted
/// apart. The same error of the loop at the same step, with no new checkpoint between, ends the run whatever is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureConfig {
    pub(crate) max_failures: Option<u64>,
    pub(crate) max_start_failures: Option<u64>,
    pub(crate) unlimited: bool,
}

/// How many starts may fail in a row where failures are not limited: what keeps a worker from joining seldom goes away.
const START_FAILURES: u64 = 3;

impl FailureConfig {
    /// After a failure the group starts again from the latest committed checkpoint, at most so often. There is no group with
    /// `workers(0)`: an error of the loop then ends the run.
    #[must_use]
    pub fn max_failures(failures: u64) -> Self {
        Self { max_failures: Some(failures), ..Self::default() }
    }

    /// After a failure the group always starts again.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { unlimited: true, ..Self::default() }
    }

    /// How many starts may fail in a row and be tried again. As many as of the other failures unless said otherwise, and 3
    /// with [`unlimited`](Self::unlimited).
    #[must_use]
    pub fn max_start_failures(mut self, failures: u64) -> Self {
        self.max_start_failures = Some(failures);
        self
    }

    /// How many failures of loops are followed by another start; `None` for all.
    pub(crate) fn limit(self) -> Option<u64> {
        (!self.unlimited).then(|| self.max_failures.unwrap_or(0))
    }

    /// How many failures of the start in a row are.
    pub(crate) fn start_limit(self) -> u64 {
        self.max_start_failures.or(self.limit()).unwrap_or(START_FAILURES)
    }
}

/// What happens where the storage already has a run of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resume {
    /// It is gone on with, if it has the same loop and config; otherwise it is refused, and said how they differ.
    #[default]
    IfExists,
    /// It is an error.
    Never,
    /// There must be one.
    Require,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_later_counts_and_the_rest_stays() {
        let defaults = RunConfig::named("a").resume(Resume::Never);
        assert_eq!(RunConfig::named("b").over(defaults), RunConfig::named("b").resume(Resume::Never));
    }

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
