//! A run's folder in the storage.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::error::{Error, Result};

/// The folder of a run. Made whole or not at all; removed again where no worker ever started.
///
/// ```text
/// NAME/run.json        what runs: loop, config, workers, when
/// NAME/reports.jsonl   every rank's reports, a line each
/// NAME/logs/rank-N.log what rank N printed
/// ```
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Folders of the storage that did not exist before.
    made: Vec<PathBuf>,
}

/// `run.json`.
#[derive(Serialize)]
pub(crate) struct Record<'a, C> {
    pub(crate) format: u32,
    pub(crate) train_loop: &'a str,
    pub(crate) workers: usize,
    pub(crate) started_unix: u64,
    pub(crate) trainloop: &'a str,
    pub(crate) config: &'a C,
}

impl RunFolder {
    /// Makes the folder `name` in `storage`.
    pub(crate) fn create(storage: &Path, name: &str) -> Result<Self> {
        let made = make_all(storage)?;
        let path = storage.join(name);
        let folder = Self { path, made };
        match folder.fill() {
            Ok(()) => Ok(folder),
            Err(error) => {
                // Nothing of a stranger's is removed: only folders that this call made, and only while empty.
                folder.remove_made();
                Err(error)
            }
        }
    }

    fn fill(&self) -> Result<()> {
        let path = &self.path;
        if let Err(error) = fs::create_dir(path) {
            return Err(match error.kind() {
                std::io::ErrorKind::AlreadyExists => Error::config(format!(
                    "there is a run at {} already; choose another name, or move that folder away",
                    path.display()
                )),
                _ => Error::io("create the run folder", path)(error),
            });
        }
        let logs = self.logs();
        fs::create_dir(&logs).map_err(Error::io("create the folder", &logs))
    }

    pub(crate) fn write_record<C: Serialize>(&self, record: &Record<'_, C>) -> Result<()> {
        let path = self.path.join("run.json");
        let mut text =
            serde_json::to_vec_pretty(record).map_err(|error| Error::serde("write the config to run.json", error))?;
        text.push(b'\n');
        File::create(&path)
            .and_then(|mut file| {
                file.write_all(&text)?;
                file.sync_all()
            })
            .map_err(Error::io("write", &path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    pub(crate) fn reports(&self) -> PathBuf {
        self.path.join("reports.jsonl")
    }

    /// A folder that lives as long as the group: for what only its workers may see.
    pub(crate) fn make_local(&self) -> Result<tempfile::TempDir> {
        // `tempfile` makes it for this user alone (mode 0700) and removes it when dropped.
        tempfile::Builder::new()
            .prefix(".local-")
            .tempdir_in(&self.path)
            .map_err(Error::io("make a folder in", &self.path))
    }

    /// Removes the run as if it had never been: for a run that failed before its first worker started.
    pub(crate) fn discard(self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!("cannot remove the folder {} of a run that did not start: {error}", self.path.display());
        }
        self.remove_made();
    }

    fn remove_made(&self) {
        for folder in self.made.iter().rev() {
            // Stays where something else has moved in.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Makes a folder and those around it, and tells which were new, outermost first.
fn make_all(folder: &Path) -> Result<Vec<PathBuf>> {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let mut wanted: Vec<&Path> = folder.ancestors().take_while(missing).collect();
    wanted.reverse();
    let mut made = Vec::new();
    for path in wanted {
        match fs::create_dir(path) {
            Ok(()) => made.push(path.to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(error) => {
                for path in made.iter().rev() {
                    let _ = fs::remove_dir(path);
                }
                return Err(Error::io("create the storage folder", path)(error));
            }
        }
    }
    if folder.is_dir() {
        return Ok(made);
    }
    Err(Error::config(format!("the storage {} is not a folder; choose another place for the runs", folder.display())))
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// A name for a run that has none: the loop's, the time, and the process, so that two runs never share one.
pub(crate) fn default_name(loop_name: &str) -> String {
    let short = loop_name.rsplit("::").next().unwrap_or(loop_name);
    let millis = (unix_now() * 1000.0) as u64;
    format!("{short}-{millis}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discarded_run_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let storage = root.path().join("a/b");
        RunFolder::create(&storage, "run").unwrap().discard();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_that_is_there_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let first = RunFolder::create(root.path(), "run").unwrap();
        fs::write(first.reports(), "kept").unwrap();
        let error = RunFolder::create(root.path(), "run").unwrap_err().to_string();
        assert!(error.contains("choose another name"), "{error}");
        assert_eq!(fs::read_to_string(first.reports()).unwrap(), "kept");
    }

    #[test]
    fn a_storage_that_is_a_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        for storage in [file.clone(), file.join("deeper")] {
            RunFolder::create(&storage, "run").unwrap_err();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "x");
    }
}
