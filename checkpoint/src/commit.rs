//! The controller's side: one checkpoint of what all ranks wrote, whole or not at all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::clock::unix_now;
use crate::disk::{remove_folder, rename, sync_folder, write_error};
use crate::error::{Error, Result, with_causes};
use crate::fault;
use crate::journal::{self, Event};
use crate::layout::{checkpoint_folder, checkpoints_folder, staging_folder};
use crate::manifest::{FORMAT, FileEntry, Manifest, Score};
use crate::staging::{folders_of, list};
use crate::verify::check_size;

/// A checkpoint whose files all ranks have written.
#[derive(Debug)]
pub struct Staged {
    /// Which checkpoint of the run.
    pub index: u64,
    /// Which start of the workers.
    pub generation: u64,
    /// How many ranks there are.
    pub world_size: usize,
    /// How many reports had been made, the one that it comes with included.
    pub report: u64,
    /// The run's reduced metrics.
    pub metrics: Value,
    /// What it is ranked by.
    pub score: Option<Score>,
    /// Those of every rank.
    pub files: Vec<FileEntry>,
}

/// A checkpoint that exists.
#[derive(Debug)]
pub struct Committed {
    /// Which checkpoint of the run.
    pub index: u64,
    /// Where it lies.
    pub folder: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// Commits a checkpoint. Whatever this is interrupted by, the checkpoints before are untouched, and this one is whole or
/// will be removed by the next sweep.
///
/// # Errors
///
/// Where two ranks wrote one name, a file is not as its rank said, or the disk fails. What was staged is then removed.
/// Once the folder has its name the checkpoint is whole and stays: if only its line in the journal could not be written,
/// the error says so, and the next sweep writes it.
pub(crate) fn commit(run: &Path, staged: Staged) -> Result<Committed> {
    let commit = Commit::new(run, staged);
    match STEPS.iter().try_for_each(|&step| commit.take(step)) {
        Ok(()) => Ok(Committed { index: commit.manifest.index, folder: commit.folder, manifest: commit.manifest }),
        Err(error) => {
            abandon(run, commit.manifest.index);
            Err(error)
        }
    }
}

/// Removes what the ranks staged for checkpoint `index`, to make room for the next attempt: as far as the disk allows;
/// [`crate::sweep()`] does the rest.
pub(crate) fn abandon(run: &Path, index: u64) {
    let _ = remove_folder(&staging_folder(run, index), fault::COMMIT_ABANDON);
}

/// The first `count` steps, and then nothing, as if the process had been killed.
#[cfg(test)]
pub(crate) fn commit_until(run: &Path, staged: Staged, count: usize) -> Result<()> {
    let commit = Commit::new(run, staged);
    STEPS[..count].iter().try_for_each(|&step| commit.take(step))
}

/// What a checkpoint of these files says of itself.
pub(crate) fn manifest_of(staged: Staged) -> Manifest {
    let Staged { index, generation, world_size, report, metrics, score, files } = staged;
    Manifest {
        format: FORMAT,
        trainloop: env!("CARGO_PKG_VERSION").into(),
        index,
        generation,
        world_size,
        report,
        created_unix: unix_now(),
        metrics,
        score,
        files,
    }
}

/// Each file's writer; an error where two ranks wrote one, or the manifest cannot be true.
pub(crate) fn writers(manifest: &Manifest) -> Result<HashMap<&str, usize>> {
    let mut writers = HashMap::new();
    for entry in &manifest.files {
        if let Some(first) = writers.insert(entry.path.as_str(), entry.rank) {
            return Err(Error::checkpoint(format!(
                "ranks {first} and {} both wrote the file `{}` of checkpoint {}; give each rank's file its own name, such as \
                 with the rank in it",
                entry.rank, entry.path, manifest.index
            )));
        }
    }
    manifest.check().map_err(Error::checkpoint)?;
    Ok(writers)
}

/// Small enough that a crash between any two can be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    CheckFiles,
    WriteManifest,
    FlushFolders,
    Rename,
    FlushParents,
    Journal,
}

pub(crate) const STEPS: [Step; 6] =
    [Step::CheckFiles, Step::WriteManifest, Step::FlushFolders, Step::Rename, Step::FlushParents, Step::Journal];

struct Commit<'a> {
    run: &'a Path,
    staging: PathBuf,
    folder: PathBuf,
    manifest: Manifest,
}

impl<'a> Commit<'a> {
    fn new(run: &'a Path, staged: Staged) -> Self {
        let index = staged.index;
        let manifest = manifest_of(staged);
        Self { run, staging: staging_folder(run, index), folder: checkpoint_folder(run, index), manifest }
    }

    fn take(&self, step: Step) -> Result<()> {
        match step {
            Step::CheckFiles => self.check_files(),
            Step::WriteManifest => self.manifest.write(&self.staging),
            Step::FlushFolders => {
                let files = self.manifest.files.iter().map(|entry| entry.path.as_str());
                let flush = |folder| sync_folder(&self.staging.join(folder), fault::COMMIT_FLUSH_FOLDER);
                folders_of(files).into_iter().try_for_each(flush)
            }
            Step::Rename => rename(&self.staging, &self.folder, fault::COMMIT_RENAME)
                .map_err(write_error("move a checkpoint to", &self.folder)),
            Step::FlushParents => {
                sync_folder(&checkpoints_folder(self.run), fault::COMMIT_FLUSH_PARENT)?;
                // The first checkpoint makes the folder for all.
                sync_folder(self.run, fault::COMMIT_FLUSH_PARENT)
            }
            Step::Journal => journal::append(self.run, &Event::commit(&self.manifest)).map_err(|error| {
                let index = self.manifest.index;
                Error::checkpoint(format!(
                    "{}; checkpoint {index} is whole, and is taken up when the run is resumed",
                    with_causes(&error)
                ))
            }),
        }
    }

    fn check_files(&self) -> Result<()> {
        fault::step(fault::COMMIT_CHECK);
        let index = self.manifest.index;
        if self.folder.symlink_metadata().is_ok() {
            return Err(Error::checkpoint(format!(
                "there is a checkpoint {index} at {} already",
                self.folder.display()
            )));
        }
        let writers = writers(&self.manifest)?;
        for entry in &self.manifest.files {
            check_size(&self.staging, entry)?;
        }
        // What no rank speaks for is half of something: a rank's of an earlier attempt, or one whose message was lost.
        match list(&self.staging)?.into_iter().find(|path| !writers.contains_key(path.as_str())) {
            Some(path) => Err(Error::checkpoint(format!(
                "the file `{path}` lies in {}, but no rank says that it wrote it",
                self.staging.display()
            ))),
            None => Ok(()),
        }
    }
}
