//! A run in object storage: its small records, its lock, and the way to its checkpoints.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::remote::{Lease, Remote};

/// The schemes of URLs that are object storage.
const SCHEMES: [&str; 4] = ["s3", "gs", "az", MEMORY];

/// A store that lives and dies with this process.
const MEMORY: &str = "memory";

/// How object storage is spoken to. What is not said here comes from the environment, as the README of each cloud's own
/// tools has it: `AWS_…`, `GOOGLE_…`, `AZURE_…`.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) retry_for: Duration,
    pub(crate) request_within: Duration,
    pub(crate) lease: Duration,
    pub(crate) part: u64,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            settings: Vec::new(),
            retry_for: Duration::from_secs(60),
            request_within: Duration::from_secs(60),
            lease: Duration::from_secs(60),
            part: 8 << 20,
        }
    }
}

impl StorageOptions {
    /// A setting by the name that its environment variable has in lower case, such as `aws_endpoint`; it counts before the
    /// variable.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// For how long a request that fails is tried again; a minute unless said otherwise.
    #[must_use]
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// How long one try of a request may take; a minute unless said otherwise.
    #[must_use]
    pub fn request_within(mut self, time: Duration) -> Self {
        self.request_within = time;
        self
    }

    /// For how long a driver that is not heard of keeps its run; a minute unless said otherwise.
    #[must_use]
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time;
        self
    }

    /// The length of the parts in which a large file travels, in bytes: at least 5 MiB, and 8 MiB unless said otherwise.
    #[must_use]
    pub fn part(mut self, bytes: u64) -> Self {
        self.part = bytes.max(5 << 20);
        self
    }
}

/// The URL of object storage in `place`, which may be a folder instead: `s3://bucket/prefix`, `gs://…`, `az://…`, and
/// `memory://…`. A `file://` URL is a folder.
///
/// # Errors
/// For a URL of another scheme, and for one without a bucket.
pub fn storage_url(place: &Path) -> Result<Option<String>> {
    let Some((scheme, rest)) = place.to_str().and_then(|text| text.split_once("://")) else { return Ok(None) };
    // A folder's name may well have these three characters; a scheme is a word before them.
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        return Ok(None);
    }
    if scheme == "file" {
        return Ok(None);
    }
    if !SCHEMES.contains(&scheme) {
        return Err(Error::storage(format!(
            "{} is no storage that trainloop knows; use a folder, or a URL that begins with s3://, gs:// or az://",
            place.display()
        )));
    }
    let rest = rest.trim_matches('/');
    if rest.is_empty() {
        return Err(Error::storage(format!("{} names no bucket; write {scheme}://BUCKET/PREFIX", place.display())));
    }
    Ok(Some(format!("{scheme}://{rest}")))
}

/// True where no other process can see what is stored there.
#[must_use]
pub fn is_within_process(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, _)| scheme == MEMORY)
}

/// Where this machine keeps its copies of the runs in the storage `url`: below `$TRAINLOOP_CACHE`, or `trainloop` in the
/// user's cache folder.
///
/// # Errors
/// Where neither `$TRAINLOOP_CACHE`, `$XDG_CACHE_HOME` nor `$HOME` says where that is.
pub fn cache_folder(url: &str) -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("TRAINLOOP_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("trainloop")))
        .or_else(|| Some(set("HOME")?.join(".cache/trainloop")))
        .ok_or_else(|| {
            Error::storage(format!("no folder for copies of what is in {url}: set TRAINLOOP_CACHE to one"))
        })?;
    let hash = blake3::hash(url.trim_end_matches('/').as_bytes()).to_hex();
    Ok(cache.join("runs").join(&hash.as_str()[..16]))
}

/// A run in object storage, and the folder on this machine in which it is worked on. A clone is the same run.
#[derive(Debug, Clone)]
pub struct RunStorage {
    pub(crate) remote: Arc<Remote>,
}

impl RunStorage {
    /// The run at `url`, worked on in `folder`. Nothing is asked of the storage yet.
    ///
    /// # Errors
    /// Where the URL or the settings cannot be used, and in a build without the feature `object-store`.
    pub fn open(url: &str, folder: impl Into<PathBuf>, options: StorageOptions) -> Result<Self> {
        let Some(url) = storage_url(Path::new(url))? else {
            return Err(Error::storage(format!("{url} is a folder, not object storage")));
        };
        Ok(Self { remote: Arc::new(Remote::open(&url, folder.into(), options)?) })
    }

    /// Where the run lies.
    #[must_use]
    pub fn url(&self) -> &str {
        self.remote.url()
    }

    /// Where it is worked on, on this machine.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.remote.folder()
    }

    /// The bytes of a small object; `None` where there is none of that name.
    ///
    /// # Errors
    /// Where the storage cannot be asked.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.remote.get(name)
    }

    /// Writes a small object, over one of that name.
    ///
    /// # Errors
    /// Where the storage does not take it.
    pub fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.remote.put(name, bytes)
    }

    /// The names of the objects in `folder`, which is `""` for the run's own, with their lengths.
    ///
    /// # Errors
    /// Where the storage cannot be asked.
    pub fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        self.remote.list(folder)
    }

    /// Removes an object; one that is gone already is no error.
    ///
    /// # Errors
    /// Where the storage does not do it.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.remote.remove(name)
    }

    /// Fetches the run's records into its folder; those that the storage lacks are removed there. True where there is a
    /// run.
    ///
    /// # Errors
    /// Where the storage cannot be asked, or the folder not be written.
    pub fn fetch_records(&self) -> Result<bool> {
        self.remote.fetch_records()
    }

    /// Brings the run's records that have changed into the storage.
    ///
    /// # Errors
    /// Where the storage does not take them, or the run's lock is lost.
    pub fn store_records(&self) -> Result<()> {
        self.remote.store_records()
    }

    /// Takes the run's lock, which is a lease: renewed by a thread, and given back when dropped.
    ///
    /// # Errors
    /// Where another driver has it: the error says which, and until when.
    pub fn lock(&self) -> Result<RunLock> {
        Ok(RunLock { _lease: self.remote.lock()? })
    }
}

/// The lock of a run in object storage; given back when dropped.
#[derive(Debug)]
#[must_use = "the run is locked as long as this lives"]
pub struct RunLock {
    _lease: Lease,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_folders() {
        for folder in ["runs", "/a/b", "file:///a/b", "a b://c"] {
            assert_eq!(storage_url(Path::new(folder)).unwrap(), None, "{folder}");
        }
        for (given, url) in
            [("s3://bucket/runs/", "s3://bucket/runs"), ("gs://b", "gs://b"), ("memory://m/x", "memory://m/x")]
        {
            assert_eq!(storage_url(Path::new(given)).unwrap().as_deref(), Some(url));
        }
        for (wrong, expected) in [("ftp://a/b", "s3://, gs:// or az://"), ("s3://", "names no bucket")] {
            let error = storage_url(Path::new(wrong)).unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains(expected), "{error}");
        }
        assert!(is_within_process("memory://m") && !is_within_process("s3://memory"));
    }

    #[cfg(not(feature = "object-store"))]
    #[test]
    fn a_build_without_the_feature_names_it() {
        let error = RunStorage::open("s3://bucket/run", "folder", StorageOptions::default()).unwrap_err().to_string();
        assert!(error.contains("s3://bucket/run") && error.contains("`object-store`"), "{error}");
    }
}
