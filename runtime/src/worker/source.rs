//! What a checkpoint is made from: a state, or files of one's own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use trainloop_checkpoint::{FileEntry, Staging};

use crate::error::{Error, Result};
use crate::state::{self, Prepared, Saved, TrainState};

/// What [`Context::report_with`](super::Context::report_with) takes beside the metrics, by reference: a [`TrainState`], or
/// [`Files`].
#[diagnostic::on_unimplemented(
    message = "a checkpoint cannot be made from `{Self}`",
    label = "neither a `TrainState` nor `Files`",
    note = "pass `&state`, where `state` derives `trainloop::TrainState`, or `&Files::of(directory)`"
)]
pub trait CheckpointSource {
    /// This rank's part, as it is now.
    #[doc(hidden)]
    fn part(&self, of: Of) -> Result<Part>;
}

/// Who makes a part, and when.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Of(pub(super) Saved);

/// One rank's part of a checkpoint, to be written. Its tensors are handles until they are [copied](Self::copied).
#[doc(hidden)]
#[derive(Debug)]
pub struct Part(Inner);

#[derive(Debug)]
enum Inner {
    State(Prepared),
    Directory(PathBuf),
    Nothing,
}

impl Part {
    /// Writes it. Once `given_up` is set, it ends with an error before long.
    pub(super) fn write(&self, staging: &Staging, rank: usize, given_up: &AtomicBool) -> Result<Vec<FileEntry>> {
        match &self.0 {
            Inner::State(prepared) => {
                let mut files = Vec::new();
                prepared.write(|name, fill| {
                    files.push(staging.write_file(name, rank, |out| -> Result<()> {
                        fill(&mut |bytes| {
                            if given_up.load(Ordering::Relaxed) {
                                return Err(Error::checkpoint("it was given up for a newer one"));
                            }
                            Ok(out.write_all(bytes)?)
                        })
                    })?);
                    Ok(())
                })?;
                Ok(files)
            }
            Inner::Directory(directory) => Ok(staging.add_directory(directory, rank)?),
            Inner::Nothing => Ok(Vec::new()),
        }
    }

    /// The same, with tensors that training on does not change: into the memory of `spare` where they fit.
    pub(super) fn copied(self, spare: Option<Self>) -> Result<Self> {
        let Inner::State(prepared) = self.0 else { return Ok(self) };
        let spare = match spare {
            Some(Self(Inner::State(spare))) => Some(spare),
            _ => None,
        };
        Ok(Self(Inner::State(prepared.copied(spare)?)))
    }

    /// True where it does not change by itself once it is copied: a directory is the user's, who may change it.
    pub(super) fn can_wait(&self) -> bool {
        matches!(self.0, Inner::State(_))
    }
}

#[diagnostic::do_not_recommend]
impl<S: TrainState> CheckpointSource for S {
    fn part(&self, Of(saved): Of) -> Result<Part> {
        state::prepare(self, saved).map(Inner::State).map(Part)
    }
}

/// Files of one's own as a checkpoint: every rank may give some, or none; two ranks must not give the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files(Option<PathBuf>);

impl Files {
    /// Everything in a directory, which is copied.
    #[must_use]
    pub fn of(directory: impl AsRef<Path>) -> Self {
        Self(Some(directory.as_ref().to_owned()))
    }

    /// Nothing from this rank.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }
}

impl CheckpointSource for Files {
    fn part(&self, _: Of) -> Result<Part> {
        Ok(Part(self.0.clone().map_or(Inner::Nothing, Inner::Directory)))
    }
}
