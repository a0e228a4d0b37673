//! Checkpoints as folders of files: written by the ranks, committed by the controller, found again after any crash.
//!
//! This layer knows files, not tensors. `docs/checkpoint-format.md` has the layout and the order of the steps; the rule that
//! everything here keeps: *the rename makes a checkpoint whole, the journal makes it known, and a whole folder counts even
//! where the journal has lost its line*.
//!
//! - `checkpoints`: the one door, [`Checkpoints`], wherever they lie;
//! - `staging`: a rank writes its files;
//! - `commit`: the controller makes one checkpoint of all ranks' files;
//! - `verify`: which checkpoints there are, and the newest whose checksums hold;
//! - [`safetensors`]: which tensors a file of a checkpoint has, and where;
//! - [`state_dict`]: the same of a file of PyTorch's, whose pickle is read and never run;
//! - `ranking`: which are out of the best *k*, as a pure function;
//! - `delete`, `sweep`: removal, and what a crash left;
//! - `disk`: every change on the disk, past the fault points by which tests break it.
//! - `storage`, `remote`: the same in object storage (feature `object-store`).

mod checkpoints;
mod clock;
mod commit;
mod delete;
mod disk;
mod early;
mod error;
#[doc(hidden)]
pub mod fault;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod hashed;
mod journal;
mod layout;
mod manifest;
mod pickle;
mod ranking;
#[cfg_attr(not(feature = "object-store"), path = "absent.rs")]
mod remote;
pub mod safetensors;
mod staging;
pub mod state_dict;
mod storage;
mod sweep;
mod verify;

#[cfg(test)]
mod corruption;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod disk_faults;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fixture;

pub use checkpoints::Checkpoints;
pub use clock::unix_now;
pub use commit::{Committed, Staged};
pub use error::{Error, Result, with_causes};
pub use layout::MANIFEST;
pub use manifest::{FileEntry, Manifest, Score};
pub use ranking::{Mode, Ranked, Retention};
pub use staging::Staging;
pub use storage::{RunLock, RunStorage, StorageOptions, cache_folder, is_within_process, storage_url};
pub use sweep::Swept;
pub use verify::verify;

// What the tests beside the code call without the door.
#[cfg(test)]
use {
    commit::commit,
    delete::delete,
    journal::{Event, read as read_journal},
    sweep::sweep,
    verify::{committed, highest_index, latest_whole, ranked},
};
