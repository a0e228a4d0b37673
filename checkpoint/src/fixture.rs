//! Runs with checkpoints, for the tests.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::error::Result;
use crate::layout::{Kind, folders};
use crate::{Committed, Score, Staged, Staging, commit, latest_whole, sweep};

/// Writes the bytes given.
pub(crate) fn bytes(content: &[u8]) -> impl FnOnce(&mut dyn Write) -> Result<()> + '_ {
    |writer| Ok(writer.write_all(content)?)
}

/// Two ranks' files, three in all, that differ between checkpoints.
pub(crate) fn stage(run: &Path, index: u64) -> Result<Staged> {
    let staging = Staging::open(run, index)?;
    let content = format!("weights of {index}");
    let files = vec![
        staging.write_file("model", 0, bytes(content.as_bytes()))?,
        staging.write_file("ranks/0/empty", 0, bytes(b""))?,
        staging.write_file("ranks/1/generator", 1, bytes(&[index as u8; 9_000]))?,
    ];
    let metrics = json!({"accuracy": index as f64, "loss": "NaN"});
    let score = Some(Score(index as f64));
    Ok(Staged { index, generation: 1, world_size: 2, report: index, metrics, score, files })
}

/// A committed checkpoint.
pub(crate) fn checkpoint(run: &Path, index: u64) -> Committed {
    commit(run, stage(run, index).unwrap()).unwrap()
}

/// A folder in memory where there is one: these tests flush a lot.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A run with the checkpoints 1 to `count`.
pub(crate) fn run_with(count: u64) -> tempfile::TempDir {
    let run = scratch();
    for index in 1..=count {
        checkpoint(run.path(), index);
    }
    run
}

/// The newest whole checkpoint, and what was said of others.
pub(crate) fn latest(run: &Path) -> (Option<u64>, Vec<String>) {
    let mut warnings = Vec::new();
    let found = latest_whole(run, &mut |warning| warnings.push(warning)).unwrap();
    (found.map(|(index, ..)| index), warnings)
}

/// What a resumed run finds: sweeps, and shows that nothing is left to sweep and that the journal has every folder.
pub(crate) fn resumed(run: &Path) -> Option<u64> {
    sweep(run).unwrap();
    let again = sweep(run).unwrap();
    assert!(again.removed.is_empty() && again.adopted.is_empty() && again.warnings.is_empty(), "{again:?}");
    let found = folders(run).unwrap();
    assert!(found.iter().all(|(kind, _)| *kind == Kind::Checkpoint), "{found:?}");
    let (index, warnings) = latest(run);
    assert_eq!(warnings, [""; 0]);
    index
}

/// Every file and folder below `dir`, for a copy of a run that a test may break.
pub(crate) fn copy_tree(dir: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What is on a [`Disk`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum FileSystem {
    /// In memory: whole pages, and no room is promised that there is not.
    Tmpfs,
    /// In a file: finds room only as a file is flushed.
    Ext4,
}

/// A small disk of its own.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
    /// What an [`FileSystem::Ext4`] is in.
    _image: Option<tempfile::NamedTempFile>,
}

impl Disk {
    /// `None`, with a word on why, where this user may not mount one.
    pub(crate) fn mount(file_system: FileSystem, kilobytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (image, is_mounted) = match file_system {
            FileSystem::Tmpfs => {
                let size = format!("size={kilobytes}k");
                (None, mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], folder.path()))
            }
            FileSystem::Ext4 => {
                let image = tempfile::NamedTempFile::new_in("/dev/shm").or_else(|_| tempfile::NamedTempFile::new());
                let image = image.unwrap();
                image.as_file().set_len(kilobytes * 1024).unwrap();
                // Without a journal of its own, which would take most of the room.
                let format = ["-q", "-F", "-O", "^has_journal", "-b", "1024", "-m", "0"];
                let is_made = succeeds(Command::new("mkfs.ext4").args(format).arg(image.path()));
                let path = image.path().to_str().unwrap().to_owned();
                (Some(image), is_made && mount(&["-o", "loop", &path], folder.path()))
            }
        };
        if !is_mounted {
            eprintln!("skipped: this user may not mount a small disk ({file_system:?})");
            return None;
        }
        Some(Self { folder, _image: image })
    }

    pub(crate) fn run(&self) -> PathBuf {
        let run = self.folder.path().join("run");
        fs::create_dir_all(&run).unwrap();
        run
    }

    pub(crate) fn set_writable(&self, writable: bool) {
        let options = if writable { "remount,rw" } else { "remount,ro" };
        assert!(mount(&["-o", options], self.folder.path()));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

fn mount(arguments: &[&str], on: &Path) -> bool {
    succeeds(Command::new("mount").args(arguments).arg(on))
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// A test's own writer may fail in any way.
impl From<std::io::Error> for crate::Error {
    fn from(error: std::io::Error) -> Self {
        Self::checkpoint(error.to_string())
    }
}
