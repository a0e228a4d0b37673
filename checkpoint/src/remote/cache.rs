//! Checkpoints of the storage as folders on this machine: each is fetched once, whichever rank asks first.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::place::{Objects, misfit, object_of};
use super::transfer::{self, Missing, Transfer};
use super::{Remote, bridge};
use crate::disk::write_error;
use crate::error::{Error, Result, with_causes};
use crate::layout::{Kind, MANIFEST, checkpoint_folder, checkpoints_folder, folders, staging_folder};
use crate::manifest::Manifest;
use crate::staging::folders_of;
use crate::sweep::Swept;
use crate::verify::{check_size, verify_index};

/// Checkpoints that this process has handed out: their folders stay.
#[derive(Debug, Default)]
pub(super) struct Pinned(Mutex<BTreeSet<u64>>);

/// What is wrong with a checkpoint's bytes, as opposed to a network or a disk that failed.
pub(super) type Damage = String;

impl Remote {
    /// The checkpoint whose objects are `found`, as a folder. Where it is here already its bytes are compared with their
    /// checksums if `again`; those that come over the network always are.
    pub(super) fn fetch_whole(
        &self,
        index: u64,
        found: &HashMap<String, u64>,
        again: bool,
    ) -> Result<Result<(PathBuf, Manifest), Damage>> {
        let parent = checkpoints_folder(&self.folder);
        fs::create_dir_all(&parent).map_err(write_error("create the folder", &parent))?;
        // The ranks of a machine wait for the first of them, which fetches it for all.
        let _lock = lock(&parent)?;
        let url = self.at.url_of(&object_of(index, MANIFEST));
        let Some(text) = self.get(&object_of(index, MANIFEST))? else {
            return Ok(Err(format!("{url}: missing")));
        };
        let manifest = match Manifest::parse(&text) {
            Ok(manifest) if manifest.index == index => manifest,
            Ok(manifest) => return Ok(Err(format!("{url}: of checkpoint {}, not {index}", manifest.index))),
            Err(reason) => return Ok(Err(format!("{url}: {reason}"))),
        };
        let folder = checkpoint_folder(&self.folder, index);
        self.cache.0.lock().unwrap_or_else(PoisonError::into_inner).insert(index);
        if is_same(&folder, &text, &manifest) && (!again || verify_index(&folder, index).is_ok()) {
            return Ok(Ok((folder, manifest)));
        }
        for entry in &manifest.files {
            let Some(reason) = misfit(found, entry) else { continue };
            return Ok(Err(format!("{}: {reason}", self.at.url_of(&object_of(index, &entry.path)))));
        }
        self.download(index, &text, &manifest).map(|whole| whole.map(|()| (folder, manifest)))
    }

    /// Beside, compared with the checksums, and renamed: a crash leaves nothing that looks whole.
    fn download(&self, index: u64, text: &[u8], manifest: &Manifest) -> Result<Result<(), Damage>> {
        let (folder, beside) = (checkpoint_folder(&self.folder, index), fetching_folder(&self.folder, index));
        remove(&beside)?;
        remove(&folder)?;
        for below in folders_of(manifest.files.iter().map(|entry| entry.path.as_str())) {
            let path = beside.join(below);
            fs::create_dir_all(&path).map_err(write_error("create the folder", &path))?;
        }
        let transfers = manifest.files.iter().map(|entry| Transfer {
            file: beside.join(&entry.path),
            name: object_of(index, &entry.path),
            bytes: entry.bytes,
        });
        let (at, transfers) = (self.at.clone(), transfers.collect());
        let damage = match bridge::wait(transfer::download(at, transfers))? {
            Ok(()) => {
                write(&beside.join(MANIFEST), text)?;
                match verify_index(&beside, index) {
                    Ok(_) => None,
                    Err(error @ Error::Io { .. }) => return Err(error),
                    // In the storage's words, not those of a folder that goes away.
                    Err(error) => Some(
                        with_causes(&error)
                            .replace(&beside.display().to_string(), &self.at.url_of(&super::place::folder_of(index))),
                    ),
                }
            }
            Err(Missing::Object(name)) => Some(format!("{}: missing", self.at.url_of(&name))),
            Err(Missing::Failed(error)) => {
                remove(&beside)?;
                return Err(error);
            }
        };
        if let Some(damage) = damage {
            remove(&beside)?;
            return Ok(Err(damage));
        }
        for below in folders_of(manifest.files.iter().map(|entry| entry.path.as_str())) {
            let path = beside.join(below);
            File::open(&path).and_then(|folder| folder.sync_all()).map_err(write_error("flush the folder", &path))?;
        }
        fs::rename(&beside, &folder).map_err(write_error("move a checkpoint to", &folder))?;
        Ok(Ok(()))
    }

    /// What this machine's ranks staged of a checkpoint that now exists: where that is all of it, nobody here needs to
    /// fetch it. Older ones that nobody was handed out make room. Nothing counts on any of this.
    pub(super) fn keep_staged(&self, manifest: &Manifest) -> PathBuf {
        let index = manifest.index;
        let (staging, folder) = (staging_folder(&self.folder, index), checkpoint_folder(&self.folder, index));
        let is_all = manifest.files.iter().all(|entry| check_size(&staging, entry).is_ok());
        let kept = is_all && manifest.write(&staging).is_ok() && fs::rename(&staging, &folder).is_ok();
        if !kept {
            let _ = fs::remove_dir_all(&staging);
        }
        let pinned = self.cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, older) in folders(&self.folder).unwrap_or_default() {
            if kind == Kind::Checkpoint && older != index && !pinned.contains(&older) {
                let _ = fs::remove_dir_all(checkpoint_folder(&self.folder, older));
            }
        }
        folder
    }

    /// Of a checkpoint that is deleted.
    pub(super) fn forget(&self, index: u64) -> Result<()> {
        remove(&checkpoint_folder(&self.folder, index))
    }

    /// What a crash left on this machine, and what the storage no longer has.
    pub(super) fn sweep_folder(&self, objects: &Objects, swept: &mut Swept) -> Result<()> {
        for (kind, index) in folders(&self.folder)? {
            let folder = match kind {
                Kind::Staging => staging_folder(&self.folder, index),
                Kind::Checkpoint if !objects.contains_key(&index) => checkpoint_folder(&self.folder, index),
                _ => continue,
            };
            match remove(&folder) {
                Ok(()) => swept.removed.push(kind.name(index)),
                Err(error) => swept.warnings.push(with_causes(&error)),
            }
        }
        Ok(())
    }
}

/// `RUN/checkpoints/.fetching-<index>`.
fn fetching_folder(run: &Path, index: u64) -> PathBuf {
    checkpoints_folder(run).join(format!(".fetching-{index}"))
}

/// The folder has this manifest, and files of these sizes.
fn is_same(folder: &Path, text: &[u8], manifest: &Manifest) -> bool {
    fs::read(folder.join(MANIFEST)).is_ok_and(|here| here == text)
        && manifest.files.iter().all(|entry| check_size(folder, entry).is_ok())
}

/// Held until dropped; the system lets go of it with the process.
fn lock(parent: &Path) -> Result<File> {
    let path = parent.join(".fetching.lock");
    let file = File::create(&path).map_err(write_error("open the lock", &path))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|error| Error::io("lock", &path)(error.into()))?;
    Ok(file)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    File::create_new(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(write_error("write", path))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::io("remove the folder", folder)),
    }
}
