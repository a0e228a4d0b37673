//! Where things are in a run's folder.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The manifest's name in every checkpoint.
pub const MANIFEST: &str = "manifest.json";

const STAGING: &str = ".staging-";
const DELETING: &str = ".deleting-";
const CHECKPOINT: &str = "checkpoint_";

/// What a folder in `checkpoints/` is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ranks write here, or were when they died.
    Staging,
    /// Committed.
    Checkpoint,
    /// On its way out.
    Deleting,
}

impl Kind {
    /// The kind and the index, where the name is exactly one that this layer gives.
    pub(crate) fn parse(name: &str) -> Option<(Self, u64)> {
        let parsed = |kind, prefix| {
            let index = name.strip_prefix(prefix)?.parse().ok()?;
            Some((kind, index))
        };
        let (kind, index) = parsed(Self::Staging, STAGING)
            .or_else(|| parsed(Self::Deleting, DELETING))
            .or_else(|| parsed(Self::Checkpoint, CHECKPOINT))?;
        // `checkpoint_7` and `checkpoint_000007` would be one index in two folders.
        (kind.name(index) == name).then_some((kind, index))
    }

    pub(crate) fn name(self, index: u64) -> String {
        match self {
            Self::Staging => format!("{STAGING}{index}"),
            Self::Deleting => format!("{DELETING}{index}"),
            Self::Checkpoint => format!("{CHECKPOINT}{index:06}"),
        }
    }
}

/// `RUN/checkpoints`.
pub(crate) fn checkpoints_folder(run: &Path) -> PathBuf {
    run.join("checkpoints")
}

/// `RUN/journal.jsonl`.
pub(crate) fn journal_file(run: &Path) -> PathBuf {
    run.join("journal.jsonl")
}

/// `RUN/checkpoints/.staging-<index>`.
pub(crate) fn staging_folder(run: &Path, index: u64) -> PathBuf {
    checkpoints_folder(run).join(Kind::Staging.name(index))
}

/// `RUN/checkpoints/.deleting-<index>`.
pub(crate) fn deleting_folder(run: &Path, index: u64) -> PathBuf {
    checkpoints_folder(run).join(Kind::Deleting.name(index))
}

/// `RUN/checkpoints/checkpoint_<index>`.
pub(crate) fn checkpoint_folder(run: &Path, index: u64) -> PathBuf {
    checkpoints_folder(run).join(Kind::Checkpoint.name(index))
}

/// The folders in `RUN/checkpoints` that are this layer's, by index; none where nothing was saved yet. What else lies there
/// is the user's, and left alone.
pub(crate) fn folders(run: &Path) -> Result<Vec<(Kind, u64)>> {
    let parent = checkpoints_folder(run);
    let entries = match fs::read_dir(&parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list the checkpoints in", &parent)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("list the checkpoints in", &parent))?;
        // A link to a folder counts: old checkpoints may have been moved to another disk.
        if let Some(named) = entry.file_name().to_str().and_then(Kind::parse)
            && entry.path().is_dir()
        {
            found.push(named);
        }
    }
    found.sort_unstable_by_key(|&(_, index)| index);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_not_ours() {
        for (kind, name) in
            [(Kind::Staging, ".staging-7"), (Kind::Deleting, ".deleting-7"), (Kind::Checkpoint, "checkpoint_000007")]
        {
            assert_eq!(kind.name(7), name);
            assert_eq!(Kind::parse(name), Some((kind, 7)));
        }
        assert_eq!(Kind::parse("checkpoint_1234567"), Some((Kind::Checkpoint, 1_234_567)));
        for stranger in ["checkpoint_7", "checkpoint_+00007", "checkpoint_0000007", "checkpoint_", ".staging-x", "best"]
        {
            assert_eq!(Kind::parse(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn only_our_folders_are_listed() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(folders(run.path()).unwrap(), []);
        let parent = checkpoints_folder(run.path());
        for name in ["checkpoint_000010", "checkpoint_000002", ".staging-3", "mine"] {
            fs::create_dir_all(parent.join(name)).unwrap();
        }
        fs::write(parent.join("checkpoint_000004"), "a file").unwrap();
        let expected = [(Kind::Checkpoint, 2), (Kind::Staging, 3), (Kind::Checkpoint, 10)];
        assert_eq!(folders(run.path()).unwrap(), expected);
    }
}
