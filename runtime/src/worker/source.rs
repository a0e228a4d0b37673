//! What a checkpoint is made from: a state, or files of one's own.

use std::io::Write;
use std::path::{Path, PathBuf};

use trainloop_checkpoint::{FileEntry, Staging};

use crate::error::Result;
use crate::state::{self, Saved, TrainState};

/// What [`Context::report_with`](super::Context::report_with) takes beside the metrics, by reference: a [`TrainState`], or
/// [`Files`].
#[diagnostic::on_unimplemented(
    message = "a checkpoint cannot be made from `{Self}`",
    label = "neither a `TrainState` nor `Files`",
    note = "pass `&state`, where `state` derives `trainloop::TrainState`, or `&Files::of(directory)`"
)]
pub trait CheckpointSource {
    /// Writes this rank's part.
    #[doc(hidden)]
    fn write(&self, place: &mut Place<'_>) -> Result<()>;
}

/// Where a rank's part of a checkpoint goes.
#[doc(hidden)]
pub struct Place<'a> {
    pub(super) staging: &'a Staging,
    pub(super) saved: Saved,
    pub(super) files: Vec<FileEntry>,
}

#[diagnostic::do_not_recommend]
impl<S: TrainState> CheckpointSource for S {
    fn write(&self, place: &mut Place<'_>) -> Result<()> {
        let Place { staging, saved, files } = place;
        state::save(self, *saved, |name, fill: &mut dyn FnMut(&mut dyn Write) -> Result<()>| {
            files.push(staging.write_file(name, saved.rank, fill)?);
            Ok(())
        })
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
    fn write(&self, place: &mut Place<'_>) -> Result<()> {
        if let Some(directory) = &self.0 {
            place.files.extend(place.staging.add_directory(directory, place.saved.rank)?);
        }
        Ok(())
    }
}
