//! The worker's side: files on their way into a checkpoint.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{FilePoints, Out, buffered, create_folders, disk_trouble, remove_file, sync_folder, write_error};
use crate::error::{Error, Result};
use crate::fault;
use crate::hashed::Hashed;
use crate::layout::{checkpoints_folder, staging_folder};
use crate::manifest::{FileEntry, check_path};
use crate::remote::Remote;

const FILE: FilePoints =
    FilePoints { create: fault::STAGE_CREATE, write: fault::STAGE_WRITE, flush: fault::STAGE_FLUSH };

/// The folder in which all ranks put together one checkpoint. Nothing in it counts before the controller's commit.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
    index: u64,
    checkpoints: PathBuf,
    /// Where the files go from here; `None` where they are to stay.
    remote: Option<Arc<Remote>>,
}

impl Staging {
    /// The staging folder of checkpoint `index`, made if no other rank has.
    ///
    /// # Errors
    /// Where the run is gone, or the folder cannot be made.
    pub fn open(run: &Path, index: u64) -> Result<Self> {
        let folder = staging_folder(run, index);
        // Made anew, it would be a run without its reports.
        if !run.is_dir() {
            return Err(Error::checkpoint(format!("the run's folder {} is gone", run.display())));
        }
        create_folders(&folder, fault::STAGE_FOLDER).map_err(write_error("create the folder", &folder))?;
        Ok(Self { folder, index, checkpoints: checkpoints_folder(run), remote: None })
    }

    /// The same, for a run in object storage: its folder is this machine's own.
    pub(crate) fn open_for(remote: &Arc<Remote>, index: u64) -> Result<Self> {
        let run = remote.folder();
        fs::create_dir_all(run).map_err(write_error("create the folder", run))?;
        Ok(Self { remote: Some(Arc::clone(remote)), ..Self::open(run, index)? })
    }

    /// Brings this rank's files to where the checkpoint will lie, before it says that it has written them.
    ///
    /// # Errors
    /// Where object storage does not take them; a folder has them already.
    pub fn finish(&self, entries: &[FileEntry]) -> Result<()> {
        self.remote.as_ref().map_or(Ok(()), |remote| remote.upload(self.index, &self.folder, entries))
    }

    /// Writes the file `relative` (with `/` between components) in one pass, flushed when this returns. A file that could
    /// not be written whole is removed again.
    ///
    /// # Errors
    /// Those of `write`; where the name cannot be in a checkpoint, another rank has written it, or the disk fails.
    pub fn write_file<E: From<Error>>(
        &self,
        relative: &str,
        rank: usize,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<FileEntry, E> {
        let entry = self.write_unsynced(relative, rank, write)?;
        self.sync_folders([relative])?;
        Ok(entry)
    }

    /// Copies a folder's files, with the folders that they are in: their contents, not their permissions. Only regular
    /// files can be in a checkpoint; an empty folder leaves nothing.
    ///
    /// # Errors
    /// Where a file cannot be in a checkpoint or be read, and as [`write_file`](Self::write_file).
    pub fn add_directory(&self, dir: &Path, rank: usize) -> Result<Vec<FileEntry>> {
        self.check_apart(dir)?;
        let mut entries = Vec::new();
        // The list comes first, so that one bad name is found before gigabytes are copied.
        for relative in list(dir)? {
            let source = dir.join(&relative);
            let mut reader = File::open(&source).map(buffered).map_err(Error::io("read", &source))?;
            let entry = self.write_unsynced(&relative, rank, |writer| {
                io::copy(&mut reader, writer).map(drop).map_err(Error::io("copy into a checkpoint", &source))
            })?;
            entries.push(entry);
        }
        self.sync_folders(entries.iter().map(|entry| entry.path.as_str()))?;
        Ok(entries)
    }

    fn write_unsynced<E: From<Error>>(
        &self,
        relative: &str,
        rank: usize,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<FileEntry, E> {
        check_path(relative).map_err(Error::checkpoint)?;
        let path = self.folder.join(relative);
        if let Some(parent) = path.parent().filter(|parent| *parent != self.folder) {
            create_folders(parent, fault::STAGE_FOLDER).map_err(write_error("create the folder", parent))?;
        }
        let file = Out::create_new(&path, FILE).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Error::checkpoint(format!(
                "two ranks wrote one file name: rank {rank} found `{relative}` in checkpoint {} already; give each rank's \
                 file its own name, such as with the rank in it",
                self.index
            )),
            _ => write_error("create", &path)(error),
        })?;
        let written = write_hashed(file, &path, write);
        if written.is_err() {
            // Room for the others; and the name is free again for another attempt.
            let _ = remove_file(&path, fault::STAGE_REMOVE);
        }
        let (bytes, blake3) = written?;
        Ok(FileEntry { path: relative.to_owned(), bytes, blake3, rank })
    }

    /// Flushes the folders that the files are in, and their parents up to the staging folder.
    fn sync_folders<'a>(&self, files: impl IntoIterator<Item = &'a str>) -> Result<()> {
        folders_of(files)
            .into_iter()
            .try_for_each(|folder| sync_folder(&self.folder.join(folder), fault::STAGE_FLUSH_FOLDER))
    }

    /// Denies a folder that holds the run's checkpoints: the copy would hold them all.
    fn check_apart(&self, dir: &Path) -> Result<()> {
        let real = |path: &Path| fs::canonicalize(path).map_err(Error::io("read the folder", path));
        if real(&self.checkpoints)?.starts_with(real(dir)?) {
            return Err(Error::checkpoint(format!(
                "the folder {} cannot be put into a checkpoint: the run's checkpoints are in it",
                dir.display()
            )));
        }
        Ok(())
    }
}

/// The folders of a checkpoint's files, relative, the deepest last: always with the checkpoint's own, the empty path.
pub(crate) fn folders_of<'a>(files: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a Path> {
    let mut folders = BTreeSet::from([Path::new("")]);
    for file in files {
        folders.extend(Path::new(file).ancestors().skip(1));
    }
    folders
}

fn write_hashed<E: From<Error>>(
    file: Out,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(u64, String), E> {
    let mut hashed = Hashed::new(file);
    let written = write(&mut hashed);
    let flushed = hashed.flush();
    if let Some(failure) = hashed.failed() {
        if let Some(error) = disk_trouble("write", path, failure) {
            return Err(error.into());
        }
        // Whatever the caller made of the error: bytes are missing.
        if written.is_ok() && flushed.is_ok() {
            return Err(Error::io("write", path)(failure.into()).into());
        }
    }
    written?;
    flushed.map_err(write_error("write", path))?;
    // Some file systems find out only now that there is no room.
    hashed.out().flush_to_disk().map_err(write_error("flush", path))?;
    Ok(hashed.finish().map_err(write_error("write", path))?)
}

/// The files below `dir`, relative and sorted.
pub(crate) fn list(dir: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let here = dir.join(&folder);
        for entry in fs::read_dir(&here).map_err(Error::io("read the folder", &here))? {
            let entry = entry.map_err(Error::io("read the folder", &here))?;
            let path = entry.path();
            let denied = |reason: &str| {
                Err(Error::checkpoint(format!("{} cannot be put into a checkpoint: {reason}", path.display())))
            };
            let Ok(name) = entry.file_name().into_string() else {
                return denied("its name is not UTF-8");
            };
            let relative = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let kind = entry.file_type().map_err(Error::io("read", &path))?;
            if kind.is_dir() {
                folders.push(relative);
            } else if kind.is_file() {
                check_path(&relative).map_err(Error::checkpoint)?;
                files.push(relative);
            } else if kind.is_symlink() {
                return denied("it is a symbolic link; put the file itself there");
            } else {
                return denied("it is no regular file");
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::disk::BUFFER;
    use crate::fixture::bytes;

    #[test]
    fn a_file_is_hashed_as_it_is_written() {
        let run = tempfile::tempdir().unwrap();
        let staging = Staging::open(run.path(), 4).unwrap();
        let large = vec![7; 3 * BUFFER + 1];
        let entry = staging
            .write_file("a/b/model", 1, |writer| -> Result<()> {
                writer.write_all(b"head")?;
                Ok(writer.write_all(&large)?)
            })
            .unwrap();
        let content = fs::read(staging_folder(run.path(), 4).join("a/b/model")).unwrap();
        assert_eq!(content.len(), large.len() + 4);
        let blake3 = blake3::hash(&content).to_hex().to_string();
        assert_eq!(entry, FileEntry { path: "a/b/model".into(), bytes: content.len() as u64, blake3, rank: 1 });
    }

    #[test]
    fn one_name_for_two_files_is_an_error() {
        let run = tempfile::tempdir().unwrap();
        let ranks: Vec<_> = (0..8)
            .map(|rank| {
                let run = run.path().to_owned();
                std::thread::spawn(move || {
                    Staging::open(&run, 0)?.write_file("sub/same", rank, bytes(format!("{rank}").as_bytes()))
                })
            })
            .collect();
        let results: Vec<_> = ranks.into_iter().map(|rank| rank.join().unwrap()).collect();
        let written: Vec<_> = results.iter().flatten().collect();
        assert_eq!(written.len(), 1, "{results:?}");
        let content = fs::read_to_string(staging_folder(run.path(), 0).join("sub/same")).unwrap();
        assert_eq!(content, written[0].rank.to_string());
        let error = results.into_iter().find_map(Result::err).unwrap().to_string();
        assert!(error.contains("two ranks wrote one file name") && error.contains("`sub/same`"), "{error}");
    }

    #[test]
    fn a_file_that_fails_leaves_nothing() {
        let run = tempfile::tempdir().unwrap();
        let staging = Staging::open(run.path(), 0).unwrap();
        let failed = staging.write_file("model", 0, |writer| {
            writer.write_all(b"half")?;
            Err(Error::checkpoint("no tensor"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no tensor");
        assert_eq!(fs::read_dir(&staging.folder).unwrap().count(), 0);
        staging.write_file("model", 0, bytes(b"whole")).unwrap();
        for wrong in ["../model", "/model", "manifest.json"] {
            let error = staging.write_file(wrong, 0, bytes(b"x")).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn a_full_disk_is_said_even_where_the_writer_hides_it() {
        let dev_full = || Out::open(Path::new("/dev/full"), FILE).unwrap();
        let path = Path::new("model");
        let hide: fn(&mut dyn Write) -> Result<()> = |writer| {
            let _ = writer.write_all(&vec![0; 2 * BUFFER]);
            Ok(())
        };
        let wrap: fn(&mut dyn Write) -> Result<()> =
            |writer| writer.write_all(&vec![0; 2 * BUFFER]).map_err(|_| Error::checkpoint("some library's words"));
        for write in [hide, wrap, |writer| Ok(writer.write_all(b"buffered")?)] {
            let error = write_hashed(dev_full(), path, write).unwrap_err().to_string();
            assert!(error.contains("the disk is full: no room for model"), "{error}");
        }
    }

    #[test]
    fn a_folder_is_copied() {
        let run = tempfile::tempdir().unwrap();
        let source = tempfile::tempdir().unwrap();
        fs::create_dir_all(source.path().join("deep/er")).unwrap();
        fs::create_dir(source.path().join("empty")).unwrap();
        fs::write(source.path().join("deep/er/manifest.json"), "allowed there").unwrap();
        fs::write(source.path().join("config"), "x").unwrap();
        let staging = Staging::open(run.path(), 0).unwrap();
        let entries = staging.add_directory(source.path(), 3).unwrap();
        let named: Vec<_> = entries.iter().map(|entry| (entry.path.as_str(), entry.bytes, entry.rank)).collect();
        assert_eq!(named, [("config", 1, 3), ("deep/er/manifest.json", 13, 3)]);
        let copy = fs::read_to_string(staging.folder.join("deep/er/manifest.json")).unwrap();
        assert_eq!(copy, "allowed there");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_by_name_before_a_byte_is_copied() {
        let run = tempfile::tempdir().unwrap();
        let staging = Staging::open(run.path(), 0).unwrap();
        for name in ["link", "manifest.json", "back\\slash"] {
            let source = tempfile::tempdir().unwrap();
            fs::write(source.path().join("a"), "x").unwrap();
            match name {
                "link" => symlink("a", source.path().join(name)).unwrap(),
                _ => fs::write(source.path().join(name), "x").unwrap(),
            }
            let error = staging.add_directory(source.path(), 0).unwrap_err().to_string();
            assert!(error.contains(&name.escape_debug().to_string()), "{error}");
        }
        let error = staging.add_directory(run.path(), 0).unwrap_err().to_string();
        assert!(error.contains("the run's checkpoints are in it"), "{error}");
        assert_eq!(fs::read_dir(&staging.folder).unwrap().count(), 0);
    }
}
