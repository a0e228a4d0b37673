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

mod clock;
mod commit;
mod delete;
mod disk;
mod error;
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

pub use clock::unix_now;
pub use commit::{Committed, Staged, commit};
pub use delete::delete;
pub use error::{Error, Result, with_causes};
pub use layout::{MANIFEST, checkpoint_folder, staging_folder};
pub use manifest::{FileEntry, Manifest, Score};
pub use ranking::{Mode, Ranked, Retention};
pub use staging::Staging;
pub use sweep::{Swept, sweep};
pub use verify::{committed, highest_index, latest_whole, ranked, verify};

#[cfg(test)]
use journal::{Event, read as read_journal};
