//! Which checkpoints a run has, and whether their bytes are what was written.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::disk::buffered;
use crate::error::{Error, Result, with_causes};
use crate::hashed::Hashed;
use crate::journal::{self, Event};
use crate::layout::{Kind, MANIFEST, checkpoint_folder, folders};
use crate::manifest::{FileEntry, Manifest};
use crate::ranking::Ranked;

/// Reads every byte of the checkpoint in `dir` and holds it against the manifest.
///
/// # Errors
///
/// Where a file is missing, cannot be read, or is not what was written: the error names it and what is wrong.
pub fn verify(dir: &Path) -> Result<Manifest> {
    let manifest = Manifest::read(dir)?;
    manifest.files.iter().try_for_each(|entry| verify_file(dir, entry))?;
    Ok(manifest)
}

/// [`verify()`], and that the checkpoint is the one that its folder's name says.
pub(crate) fn verify_index(dir: &Path, index: u64) -> Result<Manifest> {
    let manifest = verify(dir)?;
    if manifest.index == index {
        return Ok(manifest);
    }
    let path = dir.join(MANIFEST);
    Err(Error::checkpoint(format!("{}: of checkpoint {}, not {index}", path.display(), manifest.index)))
}

fn verify_file(dir: &Path, entry: &FileEntry) -> Result<()> {
    let path = check_size(dir, entry)?;
    let mut hashed = Hashed::new(io::sink());
    let read = File::open(&path).and_then(|file| io::copy(&mut buffered(file), &mut hashed));
    let (_, checksum) = read.and_then(|_| hashed.finish()).map_err(Error::io("read", &path))?;
    if checksum != entry.blake3 {
        let path = path.display();
        return Err(Error::checkpoint(format!("{path}: changed since it was written: its checksum does not hold")));
    }
    Ok(())
}

/// The path of a file that is there, with its size.
pub(crate) fn check_size(dir: &Path, entry: &FileEntry) -> Result<PathBuf> {
    let path = dir.join(&entry.path);
    let wrong_at = |path: &Path, reason: &str| Error::checkpoint(format!("{}: {reason}", path.display()));
    let wrong = |reason: String| wrong_at(&path, &reason);
    // A folder on the way that is a link may lead out of the checkpoint: a copy of it would lack what is there.
    let folders = Path::new(&entry.path).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    for folder in folders.map(|folder| dir.join(folder)) {
        if fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(wrong_at(&folder, "a symbolic link; a checkpoint's folders lie in it"));
        }
    }
    let metadata = fs::symlink_metadata(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            wrong(format!("missing, though rank {} wrote it", entry.rank))
        }
        _ => Error::io("read", &path)(error),
    })?;
    if metadata.is_symlink() {
        return Err(wrong("a symbolic link; a checkpoint's files lie in it".into()));
    }
    if !metadata.is_file() {
        return Err(wrong("no regular file".into()));
    }
    if metadata.len() != entry.bytes {
        return Err(wrong(format!("{} bytes, though rank {} wrote {}", metadata.len(), entry.rank, entry.bytes)));
    }
    Ok(path)
}

/// The indices of the checkpoints that the journal has as committed; `None` where it is damaged.
pub(crate) fn journaled(run: &Path, warn: &mut dyn FnMut(String)) -> Option<BTreeSet<u64>> {
    let events = match journal::read(run, warn) {
        Ok(events) => events,
        Err(error) => {
            warn(format!("{}; what the checkpoints' own manifests say is used", with_causes(&error)));
            return None;
        }
    };
    let mut committed = BTreeSet::new();
    for event in events {
        match event {
            Event::Commit { index, .. } => committed.insert(index),
            Event::Delete { index } => committed.remove(&index),
            Event::Unknown => false,
        };
    }
    Some(committed)
}

fn committed_or_warn(run: &Path, warn: &mut dyn FnMut(String)) -> Result<BTreeSet<u64>> {
    let mut committed = journaled(run, warn).unwrap_or_default();
    let found = folders(run)?.into_iter().filter(|(kind, _)| *kind == Kind::Checkpoint);
    committed.extend(found.map(|(_, index)| index));
    Ok(committed)
}

/// The committed checkpoints, oldest first: those of the journal, and folders of which it has no line. Whether they are
/// whole is not looked at.
pub(crate) fn committed(run: &Path) -> Result<Vec<u64>> {
    Ok(committed_or_warn(run, &mut |_| {})?.into_iter().collect())
}

/// The newest checkpoint whose checksums hold, with its folder. Each newer one that is damaged or gone is told to `warn`.
pub(crate) fn latest_whole(run: &Path, warn: &mut dyn FnMut(String)) -> Result<Option<(u64, PathBuf, Manifest)>> {
    for index in committed_or_warn(run, warn)?.into_iter().rev() {
        let dir = checkpoint_folder(run, index);
        match verify_index(&dir, index) {
            Ok(manifest) => return Ok(Some((index, dir, manifest))),
            Err(error) => warn(format!("checkpoint {index} is passed over: {}", with_causes(&error))),
        }
    }
    Ok(None)
}

/// The committed checkpoints with their scores, for [`crate::Retention`]. One whose manifest cannot be read is left out: it
/// takes no place among the best, and is not deleted, since a later version may read it.
pub(crate) fn ranked(run: &Path) -> Result<Vec<Ranked>> {
    let manifests = committed(run)?.into_iter().map(|index| (index, Manifest::read(&checkpoint_folder(run, index))));
    let readable = manifests.filter_map(|(index, manifest)| Some((index, manifest.ok()?)));
    Ok(readable.map(|(index, manifest)| Ranked { index, score: manifest.score }).collect())
}

/// The highest index that the run has ever used, be it for a checkpoint that is deleted, damaged or was never finished: the
/// next commit needs a higher one.
pub(crate) fn highest_index(run: &Path) -> Result<Option<u64>> {
    let folders = folders(run)?.into_iter().map(|(_, index)| index);
    let events = journal::read(run, &mut |_| {}).unwrap_or_default();
    let journaled = events.into_iter().filter_map(|event| match event {
        Event::Commit { index, .. } | Event::Delete { index } => Some(index),
        Event::Unknown => None,
    });
    Ok(folders.chain(journaled).max())
}
