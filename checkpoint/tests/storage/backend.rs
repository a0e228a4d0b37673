//! The places where checkpoints can lie, each with fresh runs.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use trainloop_checkpoint::{
    Checkpoints, Committed, Error, FileEntry, Result, RunLock, RunStorage, Score, Staged, StorageOptions,
};

use crate::servers;

/// Small enough that a file in parts is quickly sent.
pub(crate) const PART: u64 = 5 << 20;

pub(crate) struct Backend {
    /// `None` for folders.
    storage: Option<(String, StorageOptions)>,
}

/// No two tests share a run.
fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn options() -> StorageOptions {
    StorageOptions::default().part(PART).retry_for(Duration::from_secs(20))
}

impl Backend {
    pub(crate) fn folder() -> Self {
        Self { storage: None }
    }

    pub(crate) fn memory() -> Self {
        Self::at(&format!("memory://test-{}", std::process::id()), options())
    }

    pub(crate) fn s3() -> Option<Self> {
        if servers::are_skipped() {
            return None;
        }
        Some(Self::at("s3://runs/of tests", s3_options(&servers::s3().url())))
    }

    pub(crate) fn azure() -> Option<Self> {
        if servers::are_skipped() {
            return None;
        }
        let endpoint = format!("{}/{}", servers::azure().url(), servers::ACCOUNT);
        let options = options()
            .setting("azure_storage_account_name", servers::ACCOUNT)
            .setting("azure_storage_account_key", servers::KEY)
            .setting("azure_storage_endpoint", endpoint);
        Some(Self::at("az://runs/of tests", options))
    }

    pub(crate) fn at(url: &str, options: StorageOptions) -> Self {
        Self { storage: Some((url.to_owned(), options)) }
    }

    /// A run without checkpoints, locked.
    pub(crate) fn run(&self) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let Some((url, options)) = &self.storage else {
            return Run { checkpoints: Checkpoints::in_folder(folder.path()), storage: None, lock: None, folder };
        };
        let url = format!("{url}/run-{}", number());
        let storage = RunStorage::open(&url, folder.path(), options.clone()).unwrap();
        let lock = Some(storage.lock().unwrap());
        Run { checkpoints: Checkpoints::in_storage(&storage), storage: Some(storage), lock, folder }
    }

    /// A run with the checkpoints 1 to `count`.
    pub(crate) fn run_with(&self, count: u64) -> Run {
        let run = self.run();
        for index in 1..=count {
            run.checkpoint(index);
        }
        run
    }
}

pub(crate) fn s3_options(endpoint: &str) -> StorageOptions {
    options()
        .setting("aws_endpoint", endpoint)
        .setting("aws_access_key_id", "test")
        .setting("aws_secret_access_key", "test")
        .setting("aws_region", "us-east-1")
}

pub(crate) struct Run {
    pub(crate) checkpoints: Checkpoints,
    pub(crate) storage: Option<RunStorage>,
    pub(crate) lock: Option<RunLock>,
    pub(crate) folder: TempDir,
}

/// Two ranks' files, one of them empty, one with a name that no cloud likes, that differ between checkpoints.
pub(crate) fn files(index: u64) -> Vec<(usize, &'static str, Vec<u8>)> {
    let bytes = |salt: u64| (0..9_000_u64).flat_map(|byte| (byte * salt + index).to_le_bytes()).collect();
    vec![(0, "model", bytes(3)), (0, "ranks/0/empty", Vec::new()), (1, "ranks/1/a ~b%20#ä.bin", bytes(7))]
}

impl Run {
    /// What the ranks do: each in a thread of its own, with a place of its own.
    pub(crate) fn stage(&self, index: u64, files: &[(usize, &str, Vec<u8>)]) -> Result<Staged> {
        let ranks: Vec<usize> = files.iter().map(|(rank, ..)| *rank).collect();
        let world_size = ranks.iter().max().map_or(1, |rank| rank + 1);
        let write = |rank: usize| -> Result<Vec<FileEntry>> {
            let staging = self.checkpoints.clone().stage(index)?;
            let mine = files.iter().filter(|(writer, ..)| *writer == rank);
            let entries: Vec<_> = mine
                .map(|(_, name, bytes)| {
                    staging.write_file(name, rank, |writer| {
                        writer.write_all(bytes).map_err(|source| Error::Io {
                            action: "write",
                            path: name.into(),
                            source,
                        })
                    })
                })
                .collect::<Result<_>>()?;
            staging.finish(&entries)?;
            Ok(entries)
        };
        let parts: Vec<Result<Vec<FileEntry>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..world_size).map(|rank| scope.spawn(move || write(rank))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let files = parts.into_iter().collect::<Result<Vec<_>>>()?.concat();
        let (metrics, score) = (json!({"loss": index as f64}), Some(Score(index as f64)));
        Ok(Staged { index, generation: 1, world_size, report: index, metrics, score, files })
    }

    pub(crate) fn try_checkpoint(&self, index: u64) -> Result<Committed> {
        self.checkpoints.commit(self.stage(index, &files(index))?)
    }

    pub(crate) fn checkpoint(&self, index: u64) -> Committed {
        self.try_checkpoint(index).unwrap()
    }

    /// The same run as another machine sees it, which has nothing of it yet.
    pub(crate) fn elsewhere(&self, backend: &Backend) -> (Checkpoints, Option<TempDir>) {
        let (Some(storage), Some((_, options))) = (&self.storage, &backend.storage) else {
            return (Checkpoints::in_folder(self.folder.path()), None);
        };
        let folder = tempfile::tempdir().unwrap();
        let there = RunStorage::open(storage.url(), folder.path(), options.clone()).unwrap();
        (Checkpoints::in_storage(&there), Some(folder))
    }

    /// The same run in object storage, worked on in `folder`.
    pub(crate) fn reopened(&self, backend: &Backend, folder: &Path) -> RunStorage {
        let (_, options) = backend.storage.as_ref().unwrap();
        RunStorage::open(self.storage.as_ref().unwrap().url(), folder, options.clone()).unwrap()
    }

    /// The newest whole checkpoint for another machine, and what was said of others.
    pub(crate) fn latest(&self, backend: &Backend) -> (Option<u64>, Vec<String>) {
        let (checkpoints, _folder) = self.elsewhere(backend);
        let mut warnings = Vec::new();
        let found = checkpoints.latest_whole(&mut |warning| warnings.push(warning)).unwrap();
        (found.map(|(index, ..)| index), warnings)
    }

    /// The bytes of a checkpoint's file where it lies; removed where `None`.
    pub(crate) fn damage(&self, name: &str, bytes: Option<&[u8]>) {
        let name = format!("checkpoints/{name}");
        match (&self.storage, bytes) {
            (Some(storage), Some(bytes)) => storage.put(&name, bytes.to_vec()).unwrap(),
            (Some(storage), None) => storage.remove(&name).unwrap(),
            (None, Some(bytes)) => {
                let path = self.folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            (None, None) => fs::remove_file(self.folder.path().join(name)).unwrap(),
        }
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        let name = format!("checkpoints/{name}");
        match &self.storage {
            Some(storage) => storage.get(&name).unwrap().is_some(),
            None => self.folder.path().join(name).exists(),
        }
    }
}

/// That a folder has exactly these files, beside the manifest.
pub(crate) fn assert_files(folder: &Path, expected: &[(usize, &str, Vec<u8>)]) {
    for (_, name, bytes) in expected {
        assert!(fs::read(folder.join(name)).unwrap() == *bytes, "{name}");
    }
    let manifest = trainloop_checkpoint::verify(folder).unwrap();
    assert_eq!(manifest.files.len(), expected.len());
}
