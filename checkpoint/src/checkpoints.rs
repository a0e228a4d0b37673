//! The one door to a run's checkpoints, wherever they lie.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::commit::{self, Committed, Staged};
use crate::error::Result;
use crate::layout::checkpoint_folder;
use crate::manifest::Manifest;
use crate::ranking::Ranked;
use crate::remote::Remote;
use crate::staging::Staging;
use crate::storage::RunStorage;
use crate::sweep::{self, Swept};
use crate::{delete, verify};

/// Where a run's checkpoints lie. A clone is the same place; ranks and controller each hold one.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    /// The folder of the run.
    Folder(Arc<Path>),
    Storage(Arc<Remote>),
}

impl Checkpoints {
    /// Those in the folder of a run, which the ranks share.
    pub fn in_folder(run: impl Into<PathBuf>) -> Self {
        Self { place: Place::Folder(run.into().into()) }
    }

    /// Those of a run in object storage. What writes there, but for a rank's own files, needs the run's
    /// [lock](RunStorage::lock).
    #[must_use]
    pub fn in_storage(storage: &RunStorage) -> Self {
        Self { place: Place::Storage(Arc::clone(&storage.remote)) }
    }

    /// A rank's side of checkpoint `index`: where it writes its files.
    ///
    /// # Errors
    /// Where the run is gone, or the folder cannot be made.
    pub fn stage(&self, index: u64) -> Result<Staging> {
        match &self.place {
            Place::Folder(run) => Staging::open(run, index),
            Place::Storage(remote) => Staging::open_for(remote, index),
        }
    }

    /// Makes a checkpoint of what all ranks staged. Whatever this is interrupted by, the checkpoints before are untouched,
    /// and this one is whole or will be removed by [`sweep`](Self::sweep).
    ///
    /// # Errors
    /// Where two ranks wrote one name, a file is not as its rank said, the disk or object storage fails, or the run's lock is
    /// lost. What was staged is then removed.
    /// Once the folder has its name the checkpoint is whole and stays: if only its line in the journal could not be written,
    /// the error says so, and the next [`sweep`](Self::sweep) writes it.
    pub fn commit(&self, staged: Staged) -> Result<Committed> {
        match &self.place {
            Place::Folder(run) => commit::commit(run, staged),
            Place::Storage(remote) => remote.commit(staged),
        }
    }

    /// Removes what ranks staged of checkpoint `index`, which is given up: room for the next attempt. What cannot be
    /// removed goes with the next [`sweep`](Self::sweep).
    pub fn abandon(&self, index: u64) {
        match &self.place {
            Place::Folder(run) => commit::abandon(run, index),
            Place::Storage(remote) => remote.abandon(index),
        }
    }

    /// Removes checkpoint `index`, and returns a warning where that failed: training goes on without it. What is left of a
    /// checkpoint that no longer counts goes with the next [`sweep`](Self::sweep).
    #[must_use = "it is the warning to show"]
    pub fn delete(&self, index: u64) -> Option<String> {
        match &self.place {
            Place::Folder(run) => delete::delete(run, index),
            Place::Storage(remote) => remote.delete(index).err().map(|error| delete::warning(index, &error)),
        }
    }

    /// Puts in order what a crash left: before a generation starts, while no rank writes.
    ///
    /// # Errors
    /// Where the checkpoints cannot be listed. All else is among the warnings.
    pub fn sweep(&self) -> Result<Swept> {
        match &self.place {
            Place::Folder(run) => sweep::sweep(run),
            Place::Storage(remote) => remote.sweep(),
        }
    }

    /// The committed checkpoints, oldest first. Whether they are whole is not looked at.
    ///
    /// # Errors
    /// Where they cannot be listed.
    pub fn committed(&self) -> Result<Vec<u64>> {
        match &self.place {
            Place::Folder(run) => verify::committed(run),
            Place::Storage(remote) => remote.committed(),
        }
    }

    /// The committed checkpoints with their scores, for [`crate::Retention`]. One whose manifest cannot be read is left
    /// out: it takes no place among the best, and is not deleted, since a later version may read it.
    ///
    /// # Errors
    /// Where they cannot be listed.
    pub fn ranked(&self) -> Result<Vec<Ranked>> {
        match &self.place {
            Place::Folder(run) => verify::ranked(run),
            Place::Storage(remote) => remote.ranked(),
        }
    }

    /// What checkpoint `index` says of itself.
    ///
    /// # Errors
    /// Where its manifest cannot be read, or is damaged.
    pub fn manifest(&self, index: u64) -> Result<Manifest> {
        match &self.place {
            Place::Folder(run) => Manifest::read(&checkpoint_folder(run, index)),
            Place::Storage(remote) => remote.manifest(index),
        }
    }

    /// The highest index that the run has used, be it for a checkpoint that is deleted, damaged or was never finished: the
    /// next commit needs a higher one.
    ///
    /// # Errors
    /// Where the checkpoints cannot be listed.
    pub fn highest_index(&self) -> Result<Option<u64>> {
        match &self.place {
            Place::Folder(run) => verify::highest_index(run),
            Place::Storage(remote) => remote.highest_index(),
        }
    }

    /// The newest checkpoint whose checksums hold, with its folder. Each newer one that is damaged or gone is told to
    /// `warn`.
    ///
    /// # Errors
    /// Where the checkpoints cannot be listed.
    pub fn latest_whole(&self, warn: &mut dyn FnMut(String)) -> Result<Option<(u64, PathBuf, Manifest)>> {
        match &self.place {
            Place::Folder(run) => verify::latest_whole(run, warn),
            Place::Storage(remote) => remote.latest_whole(warn),
        }
    }

    /// Checkpoint `index` as a folder on this machine. Where checkpoints lie in a folder, whether it is there and whole is
    /// for [`crate::verify()`] to say. From object storage it is fetched once for all ranks of this machine, and compared
    /// with its checksums on the way; the folder stays while this process lives.
    ///
    /// # Errors
    /// Where object storage cannot be asked, or what it has is not whole.
    pub fn folder(&self, index: u64) -> Result<PathBuf> {
        match &self.place {
            Place::Folder(run) => Ok(checkpoint_folder(run, index)),
            Place::Storage(remote) => remote.fetch(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{checkpoint, run_with, stage};
    use crate::layout::staging_folder;

    #[test]
    fn ranks_and_controller_hold_one_place_each() {
        fn shared<T: Clone + Send + Sync>(value: &T) -> T {
            value.clone()
        }
        let run = run_with(1);
        let controller = Checkpoints::in_folder(run.path());
        let rank = shared(&controller);
        let staging = std::thread::spawn(move || rank.stage(2)).join().unwrap().unwrap();
        drop(staging);
        let committed = controller.commit(stage(run.path(), 2).unwrap()).unwrap();
        assert_eq!(committed.folder, controller.folder(2).unwrap());
        assert_eq!(controller.committed().unwrap(), [1, 2]);
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let run = run_with(1);
        let checkpoints = Checkpoints::in_folder(run.path());
        stage(run.path(), 2).unwrap();
        checkpoints.abandon(2);
        assert!(!staging_folder(run.path(), 2).exists());
        checkpoints.abandon(2);
        assert_eq!(checkpoints.committed().unwrap(), [1]);
        checkpoint(run.path(), 2);
    }
}
