//! Removal of a committed checkpoint: at no instant half of one.

use std::io::ErrorKind;
use std::path::Path;

use crate::disk::{remove_folder, rename, sync_folder, write_error};
use crate::error::{Result, with_causes};
use crate::fault::{self, Point};
use crate::journal::{self, Event};
use crate::layout::{checkpoint_folder, checkpoints_folder, deleting_folder};

/// Removes checkpoint `index`, and returns a warning where that failed: training goes on without it. What is left of a
/// checkpoint that no longer counts goes with the next sweep.
pub(crate) fn delete(run: &Path, index: u64) -> Option<String> {
    let deleted = STEPS.iter().try_for_each(|step| step(run, index));
    deleted.err().map(|error| warning(index, &error))
}

pub(crate) fn warning(index: u64, error: &crate::Error) -> String {
    format!("checkpoint {index} could not be deleted: {}", with_causes(error))
}

/// The first `count` steps, and then nothing, as if the process had been killed.
#[cfg(test)]
pub(crate) fn delete_until(run: &Path, index: u64, count: usize) {
    STEPS[..count].iter().try_for_each(|step| step(run, index)).unwrap();
}

type Step = fn(&Path, u64) -> Result<()>;

pub(crate) const STEPS: [Step; 5] = [clear, set_aside, flush, write_journal, remove];

/// Of an earlier checkpoint of this index.
fn clear(run: &Path, index: u64) -> Result<()> {
    remove_at(run, index, fault::DELETE_CLEAR)
}

/// From here on it does not count.
fn set_aside(run: &Path, index: u64) -> Result<()> {
    let folder = checkpoint_folder(run, index);
    match rename(&folder, &deleting_folder(run, index), fault::DELETE_RENAME) {
        // Someone was faster; the journal shall have it nevertheless.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        renamed => renamed.map_err(write_error("set aside", &folder)),
    }
}

fn flush(run: &Path, _: u64) -> Result<()> {
    sync_folder(&checkpoints_folder(run), fault::DELETE_FLUSH_PARENT)
}

fn write_journal(run: &Path, index: u64) -> Result<()> {
    let event = Event::Delete { index };
    journal::append(run, &event).or_else(|_| {
        // If there is no room, this makes some.
        remove(run, index)?;
        journal::append(run, &event)
    })
}

fn remove(run: &Path, index: u64) -> Result<()> {
    remove_at(run, index, fault::DELETE_REMOVE)
}

fn remove_at(run: &Path, index: u64, at: Point) -> Result<()> {
    let folder = deleting_folder(run, index);
    match remove_folder(&folder, at) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(write_error("remove the folder", &folder)),
    }
}
