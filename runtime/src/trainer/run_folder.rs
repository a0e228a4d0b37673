//! A run's folder in the storage.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trainloop_checkpoint::{Checkpoints, RunLock, RunStorage, StorageOptions, cache_folder, storage_url, unix_now};

use super::Resume;
use crate::error::{Error, Result};
use crate::metric::MetricField;

/// The folder of a run, made whole or not at all.
///
/// ```text
/// NAME/run.json        what runs: loop, config, when
/// NAME/generation      how often the group was started
/// NAME/reports.jsonl   every rank's reports, a line each
/// NAME/states.jsonl    the run's states, a line for each change
/// NAME/outcome.json    what came of it, once it has ended well
/// NAME/checkpoints/    see docs/checkpoint-format.md
/// NAME/journal.jsonl   commits and deletions of checkpoints
/// NAME/logs/rank-N.log what rank N printed
/// NAME/.lock           held by the driver
/// ```
///
/// A run in object storage is worked on in such a folder in the user's cache: its records are fetched at the start, and
/// brought back before a checkpoint counts them.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Held as long as the folder: the system lets go of it with the process, however that ends.
    _lock: File,
    /// For a run in object storage: the run there, and its lock.
    storage: Option<(RunStorage, RunLock)>,
}

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) format: u32,
    pub(crate) train_loop: String,
    pub(crate) started_unix: u64,
    /// The version that made it.
    pub(crate) trainloop: String,
    pub(crate) config: Value,
    /// What its reports hold.
    #[serde(default)]
    pub(crate) metrics: Vec<MetricField>,
}

const FORMAT: u32 = 1;

impl Record {
    pub(crate) fn new(train_loop: &str, config: Value, metrics: Vec<MetricField>) -> Self {
        Self {
            format: FORMAT,
            train_loop: train_loop.to_owned(),
            started_unix: unix_now() as u64,
            trainloop: env!("CARGO_PKG_VERSION").to_owned(),
            config,
            metrics,
        }
    }

    /// That of the run in `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = path.join("run.json");
        let text = fs::read(&file).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::config(format!("{} is no run: it has no run.json", path.display())),
            _ => Error::io("read", &file)(error),
        })?;
        let record: Self = serde_json::from_slice(&text)
            .map_err(|error| Error::config(format!("{} cannot be read: {error}", file.display())))?;
        if record.format != FORMAT {
            return Err(Error::config(format!(
                "{} has format {}, and this version of trainloop ({}) reads format {FORMAT}; it was made by version {}",
                file.display(),
                record.format,
                env!("CARGO_PKG_VERSION"),
                record.trainloop
            )));
        }
        Ok(record)
    }

    /// What keeps a run that was made with `self` from being gone on with as `other`.
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        if self.train_loop != other.train_loop {
            differences.push(format!("its train loop is `{}`, not `{}`", self.train_loop, other.train_loop));
        }
        match (&self.config, &other.config) {
            (Value::Object(old), Value::Object(new)) => {
                let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
                for name in names.into_iter().filter(|name| old.get(*name) != new.get(*name)) {
                    let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), ToString::to_string);
                    differences.push(format!("its `{name}` is {}, not {}", shown(old.get(name)), shown(new.get(name))));
                }
            }
            (old, new) if old != new => differences.push(format!("its config is {old}, not {new}")),
            _ => {}
        }
        differences
    }
}

impl RunFolder {
    /// Makes the folder `name` in `storage`, or opens the run that is there, and locks it.
    pub(crate) fn open(storage: &Path, name: &str, resume: Resume, record: &Record) -> Result<Self> {
        if let Some(url) = storage_url(storage)? {
            return Self::open_in_storage(&url, name, resume, record);
        }
        let storage = without_scheme(storage);
        let path = storage.join(name);
        let shown = path.display().to_string();
        Self::open_in_folder(storage, path, &shown, resume, record)
    }

    fn open_in_storage(url: &str, name: &str, resume: Resume, record: &Record) -> Result<Self> {
        let runs = cache_folder(url)?;
        let path = runs.join(name);
        let run = RunStorage::open(&format!("{url}/{name}"), &path, StorageOptions::default())?;
        // First: whoever has it may be at work in the same folder.
        let lock = run.lock()?;
        if !run.fetch_records()? {
            // Of a run that somebody has removed from the storage.
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io("remove", &path)(error)),
                _ => {}
            }
        }
        let opened = Self::open_in_folder(&runs, path, run.url(), resume, record)?;
        Ok(Self { storage: Some((run, lock)), ..opened })
    }

    /// In messages the run lies at `shown`.
    fn open_in_folder(storage: &Path, path: PathBuf, shown: &str, resume: Resume, record: &Record) -> Result<Self> {
        if path.exists() {
            if resume == Resume::Never {
                return Err(Error::config(format!(
                    "there is a run at {shown} already, and `Resume::Never` asks for a new one; choose another name, or move \
                     that one away"
                )));
            }
            return Self::open_existing(path, shown, record);
        }
        if resume == Resume::Require {
            return Err(Error::config(format!(
                "there is no run at {shown} to go on with, as `Resume::Require` (`--resume`) asks; look at the name and the \
                 storage, or leave it out to begin one"
            )));
        }
        Self::make(storage, path, record)
    }

    fn open_existing(path: PathBuf, shown: &str, record: &Record) -> Result<Self> {
        let old = Record::read(&path)?;
        let differences = old.differences(record);
        if !differences.is_empty() {
            return Err(Error::config(format!(
                "the run at {shown} cannot be gone on with: {}; choose another name for a new run",
                differences.join("; ")
            )));
        }
        let lock = lock(&path)?;
        for folder in left_behind(&path) {
            let _ = fs::remove_dir_all(folder);
        }
        // A run that was fetched has none yet.
        let logs = path.join("logs");
        fs::create_dir_all(&logs).map_err(Error::io("create the folder", &logs))?;
        Ok(Self { path, _lock: lock, storage: None })
    }

    fn make(storage: &Path, path: PathBuf, record: &Record) -> Result<Self> {
        let made = make_all(storage)?;
        let fill = || {
            fs::create_dir(&path).map_err(Error::io("create the run folder", &path))?;
            let fill = || {
                let logs = path.join("logs");
                fs::create_dir(&logs).map_err(Error::io("create the folder", &logs))?;
                let lock = lock(&path)?;
                let mut text =
                    serde_json::to_vec_pretty(record).map_err(|error| Error::serde("write run.json", error))?;
                text.push(b'\n');
                write_whole(&path.join("run.json"), &text)?;
                Ok(lock)
            };
            // What this call has made is nobody's yet.
            fill().inspect_err(|_: &Error| drop(fs::remove_dir_all(&path)))
        };
        match fill() {
            Ok(lock) => Ok(Self { path, _lock: lock, storage: None }),
            Err(error) => {
                remove_made(&made);
                Err(error)
            }
        }
    }

    /// Counts one more start of the group and gives its number, from 1.
    pub(crate) fn next_generation(&self) -> Result<u64> {
        let file = self.path.join("generation");
        let last = match fs::read_to_string(&file) {
            Ok(text) => text.trim().parse::<u64>().unwrap_or(0),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(Error::io("read", &file)(error)),
        };
        write_whole(&file, format!("{}\n", last + 1).as_bytes())?;
        self.store()?;
        Ok(last + 1)
    }

    /// Brings the records to where the run lies, if that is object storage.
    pub(crate) fn store(&self) -> Result<()> {
        self.storage.as_ref().map_or(Ok(()), |(run, _)| Ok(run.store_records()?))
    }

    pub(crate) fn checkpoints(&self) -> Checkpoints {
        match &self.storage {
            Some((run, _)) => Checkpoints::in_storage(run),
            None => Checkpoints::in_folder(&self.path),
        }
    }

    /// Where the run lies, if that is object storage.
    pub(crate) fn url(&self) -> Option<&str> {
        self.storage.as_ref().map(|(run, _)| run.url())
    }

    /// For messages: where the run lies.
    pub(crate) fn shown(&self) -> String {
        self.url().map_or_else(|| self.path.display().to_string(), str::to_owned)
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
        tempfile::Builder::new().prefix(LOCAL).tempdir_in(&self.path).map_err(Error::io("make a folder in", &self.path))
    }
}

/// A folder that was written as a URL.
pub(super) fn without_scheme(storage: &Path) -> &Path {
    storage.to_str().and_then(|text| text.strip_prefix("file://")).map_or(storage, Path::new)
}

/// Removes folders that were made, while they are empty.
fn remove_made(made: &[PathBuf]) {
    for folder in made.iter().rev() {
        // Stays where something else has moved in.
        let _ = fs::remove_dir(folder);
    }
}

/// Keeps other drivers off the run.
fn lock(path: &Path) -> Result<File> {
    let file = path.join(".lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&file)
        .map_err(Error::io("open the lock", &file))?;
    match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            // For the message below; the lock itself is the system's.
            let _ = lock.set_len(0).and_then(|()| (&lock).write_all(std::process::id().to_string().as_bytes()));
            Ok(lock)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let holder = fs::read_to_string(&file).unwrap_or_default();
            Err(Error::config(format!(
                "the run at {} is in the hands of another driver (process {holder}); wait for it, end it, or choose another \
                 name",
                path.display()
            )))
        }
        Err(error) => Err(Error::io("lock", &file)(error.into())),
    }
}

/// Private folders of drivers that were killed.
fn left_behind(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let local = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(LOCAL);
    entries.flatten().filter(local).map(|entry| entry.path()).collect()
}

/// Writes a small file so that it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(Error::io("write", path))
}

/// The beginning of a private folder's name.
const LOCAL: &str = ".local-";

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

/// A name for a run that has none: the loop's, the time, and the process, so that two runs never share one.
pub(crate) fn default_name(loop_name: &str) -> String {
    let short = loop_name.rsplit("::").next().unwrap_or(loop_name);
    let millis = (unix_now() * 1000.0) as u64;
    format!("{short}-{millis}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(config: Value) -> Record {
        Record::new("test::train", config, Vec::new())
    }

    fn open(storage: &Path, resume: Resume, config: Value) -> Result<RunFolder> {
        RunFolder::open(storage, "run", resume, &record(config))
    }

    #[test]
    fn a_run_that_cannot_be_made_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        // A name that no file system takes.
        let name = "x".repeat(300);
        RunFolder::open(&root.path().join("a/b"), &name, Resume::IfExists, &record(json!({}))).unwrap_err();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_is_gone_on_with_only_as_what_it_is() {
        let root = tempfile::tempdir().unwrap();
        let config = json!({"lr": 0.1, "epochs": 8});
        open(root.path(), Resume::Require, config.clone()).unwrap_err();
        drop(open(root.path(), Resume::IfExists, config.clone()).unwrap());
        fs::write(root.path().join("run/reports.jsonl"), "kept").unwrap();
        for resume in [Resume::IfExists, Resume::Require] {
            drop(open(root.path(), resume, config.clone()).unwrap());
        }
        let never = open(root.path(), Resume::Never, config).unwrap_err().to_string();
        assert!(never.contains("choose another name"), "{never}");
        let other =
            open(root.path(), Resume::IfExists, json!({"lr": 0.2, "batch": 3, "epochs": 8})).unwrap_err().to_string();
        assert!(
            other.contains("its `lr` is 0.1, not 0.2") && other.contains("its `batch` is nothing, not 3"),
            "{other}"
        );
        assert!(!other.contains("epochs"), "{other}");
        assert_eq!(fs::read_to_string(root.path().join("run/reports.jsonl")).unwrap(), "kept");
    }

    #[test]
    fn two_drivers_never_share_a_run() {
        let root = tempfile::tempdir().unwrap();
        let first = open(root.path(), Resume::IfExists, json!({})).unwrap();
        let error = open(root.path(), Resume::IfExists, json!({})).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        open(root.path(), Resume::IfExists, json!({})).unwrap();
    }

    #[test]
    fn generations_are_counted_on() {
        let root = tempfile::tempdir().unwrap();
        let run = open(root.path(), Resume::IfExists, json!({})).unwrap();
        assert_eq!((run.next_generation().unwrap(), run.next_generation().unwrap()), (1, 2));
        drop(run);
        assert_eq!(open(root.path(), Resume::IfExists, json!({})).unwrap().next_generation().unwrap(), 3);
    }

    #[test]
    fn a_storage_that_is_a_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        for storage in [file.clone(), file.join("deeper")] {
            open(&storage, Resume::IfExists, json!({})).unwrap_err();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "x");
    }

    #[test]
    fn a_folder_that_is_no_run_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("run")).unwrap();
        let error = open(root.path(), Resume::IfExists, json!({})).unwrap_err().to_string();
        assert!(error.contains("is no run"), "{error}");
        assert_eq!(fs::read_dir(root.path().join("run")).unwrap().count(), 0);
    }
}
