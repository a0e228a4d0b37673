//! What a crash left, put in order: before a run or a generation starts, while no rank writes.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use crate::disk::remove_folder;
use crate::error::{Error, Result, with_causes};
use crate::fault;
use crate::journal::{self, Event};
use crate::layout::{Kind, checkpoint_folder, deleting_folder, folders, staging_folder};
use crate::manifest::Manifest;
use crate::verify::{journaled, verify_index};

/// What [`Checkpoints::sweep`](crate::Checkpoints::sweep) did.
#[derive(Debug, Default)]
pub struct Swept {
    /// The folders it removed, by name.
    pub removed: Vec<String>,
    /// Checkpoints that are whole but were missing in the journal, which has them now.
    pub adopted: Vec<u64>,
    /// What could not be put in order, and what is gone that should be there.
    pub warnings: Vec<String>,
}

/// Removes what ranks were writing and what was being deleted; and holds journal and folders against each other:
///
/// - a whole folder without a line in the journal is taken up: a crash came between the rename and the journal;
/// - one that is not whole is removed if it is the newest and the journal, itself intact, does not know it. No other is
///   ever removed, though damaged: that is not what a crash leaves, and it may be all that the user has;
/// - a line without a folder gets its `delete`.
///
/// # Errors
///
/// Where the checkpoints cannot be listed. All else is among the warnings.
pub(crate) fn sweep(run: &Path) -> Result<Swept> {
    let mut swept = Swept::default();
    let found = folders(run)?;
    let known = journaled(run, &mut |warning| swept.warnings.push(warning));

    let mut deleting = BTreeSet::new();
    let mut checkpoints = BTreeSet::new();
    for (kind, index) in found {
        match kind {
            Kind::Staging => swept.remove(&staging_folder(run, index)),
            Kind::Deleting => {
                deleting.insert(index);
                swept.remove(&deleting_folder(run, index));
            }
            Kind::Checkpoint => {
                checkpoints.insert(index);
            }
        }
    }
    // A damaged journal cannot tell what it had: then the folders speak for themselves.
    let Some(known) = known else { return Ok(swept) };
    let newest = checkpoints.last();
    for &index in checkpoints.difference(&known) {
        swept.take_up(run, index, newest == Some(&index));
    }
    for &index in known.difference(&checkpoints) {
        if !deleting.contains(&index) {
            swept.warnings.push(format!("checkpoint {index} is gone, though the journal had it"));
        }
        swept.append(run, &Event::Delete { index });
    }
    Ok(swept)
}

impl Swept {
    fn remove(&mut self, folder: &Path) {
        match remove_folder(folder, fault::SWEEP_REMOVE) {
            Ok(()) => self.removed.extend(folder.file_name().map(|name| name.to_string_lossy().into_owned())),
            Err(error) => self.warnings.push(format!("cannot remove {}: {error}", folder.display())),
        }
    }

    fn append(&mut self, run: &Path, event: &Event) -> bool {
        let appended = journal::append(run, event);
        self.warnings.extend(appended.as_ref().err().map(|error| with_causes(error)));
        appended.is_ok()
    }

    /// For a checkpoint of which the journal has no line.
    fn take_up(&mut self, run: &Path, index: u64, is_newest: bool) {
        let folder = checkpoint_folder(run, index);
        match verify_index(&folder, index) {
            Ok(manifest) => {
                if self.append(run, &Event::commit(&manifest)) {
                    self.adopted.push(index);
                }
            }
            Err(error) => {
                self.warnings.push(format!("checkpoint {index} is not whole: {}", with_causes(&error)));
                if is_newest && is_broken(&error) && !Manifest::is_foreign(&folder) {
                    self.remove(&folder);
                }
            }
        }
    }
}

/// True where the bytes are wrong, as opposed to a disk that could not be read just now.
fn is_broken(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } => source.kind() == ErrorKind::NotFound,
        error => matches!(error, Error::Checkpoint(_)),
    }
}
