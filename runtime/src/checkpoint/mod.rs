//! Checkpoints as folders of files: written by the ranks, committed by the controller, found again after any crash.
//!
//! This layer knows files, not tensors. `docs/checkpoint-format.md` has the layout and the order of the steps; the rule that
//! everything here keeps: *the rename makes a checkpoint whole, the journal makes it known, and a whole folder counts even
//! where the journal has lost its line*.
//!
//! - `staging`: a rank writes its files;
//! - `commit`: the controller makes one checkpoint of all ranks' files;
//! - `verify`: which checkpoints there are, and the newest whose checksums hold;
//! - `ranking`: which are out of the best *k*, as a pure function;
//! - `delete`, `sweep`: removal, and what a crash left.

mod commit;
mod delete;
mod disk;
mod handle;
mod journal;
mod layout;
mod manifest;
mod ranking;
mod staging;
mod sweep;
mod verify;

#[cfg(test)]
mod corruption;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fixture;

pub use handle::Checkpoint;

pub(crate) use commit::{Committed, Staged, commit};
pub(crate) use delete::delete;
pub(crate) use layout::{checkpoint_folder, staging_folder};
pub(crate) use manifest::{FileEntry, Score};
pub(crate) use ranking::{Mode, Ranked, Retention};
pub(crate) use staging::Staging;
pub(crate) use sweep::sweep;
pub(crate) use verify::{committed, highest_index, latest_whole, ranked};

#[cfg(test)]
use {
    journal::{Event, read as read_journal},
    manifest::Manifest,
    verify::verify,
};
