//! The driver's side of a run: one loop over one poll, however many workers there are.
//!
//! Workers push; the controller sees a report, an error, a closed channel, the end of a process at once.

mod activity;
mod door;
mod failure;
mod group;
mod ledger;
mod member;
mod open_files;
mod output;
mod process;
mod records;
mod reports;
mod signals;
mod slots;
mod tally;
mod wakeups;

pub use activity::RankActivity;
pub use failure::{FailureKind, RunFailure};
pub(crate) use group::{End, Ended, Job, Milestone, run};
pub(crate) use ledger::{Beginning, Ledger, OnCheckpoint, Saved};
pub(crate) use records::{from_record, record};
pub(crate) use reports::{Reduce, Reduced, Reports, open_whole};
pub(crate) use slots::{Elastic, slots};
#[cfg(feature = "simulation")]
pub(crate) use {group::simulate, open_files::allow_open_files};
