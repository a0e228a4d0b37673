//! The run's small files: worked on in its folder on this machine, and brought into the storage before a checkpoint counts
//! them.

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::Remote;
use crate::disk::write_error;
use crate::error::{Error, Result};

/// The first is what makes a run: it is fetched first and stored last, so that a run with it has the others.
const RECORDS: [&str; 5] = ["run.json", "generation", "reports.jsonl", "states.jsonl", "outcome.json"];

/// The checksum of each record as the storage has it.
#[derive(Debug, Default)]
pub(super) struct Stored(Mutex<HashMap<&'static str, blake3::Hash>>);

impl Remote {
    pub(crate) fn fetch_records(&self) -> Result<bool> {
        let mut is_run = false;
        for name in RECORDS {
            let path = self.folder.join(name);
            match self.get(name)? {
                Some(bytes) => {
                    is_run |= name == RECORDS[0];
                    write(&path, &bytes)?;
                    self.note(name, &bytes);
                }
                None => match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io("remove", &path)(error)),
                    _ => {}
                },
            }
        }
        Ok(is_run)
    }

    pub(crate) fn store_records(&self) -> Result<()> {
        self.confirm_lock()?;
        for name in RECORDS.into_iter().rev() {
            let path = self.folder.join(name);
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("read", &path)(error)),
            };
            let stored = self.records.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied();
            if stored != Some(blake3::hash(&bytes)) {
                self.put(name, bytes.clone())?;
                self.note(name, &bytes);
            }
        }
        Ok(())
    }

    fn note(&self, name: &'static str, bytes: &[u8]) {
        self.records.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, blake3::hash(bytes));
    }
}

/// Whole or not at all; a crash of the machine costs a copy that is fetched again.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("fetched");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(write_error("create the folder", folder))?;
    }
    fs::File::create(&beside)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&beside, path))
        .map_err(write_error("write", path))
}
