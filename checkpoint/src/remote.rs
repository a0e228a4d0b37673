//! A run in object storage. `docs/checkpoint-format.md` has the order of the steps; the rule that everything here keeps:
//! *a checkpoint exists when its manifest does, which is put last and by the holder of the run's lock alone*.
//!
//! - `bridge`, `connect`, `trouble`: the client as synchronous code, from a URL, with errors that say what to do;
//! - `transfer`: files up and down, in parts;
//! - `place`: what [`crate::Checkpoints`] does there; `cache`: checkpoints as folders on this machine;
//! - `records`: the run's small files; `lease`: the run's lock.

use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, TryStreamExt};
use object_store::Extensions;
use object_store::path::{Path, PathPart};
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult};

use crate::error::{Error, Result};
use crate::storage::StorageOptions;

mod bridge;
mod cache;
mod connect;
mod lease;
mod place;
mod records;
mod transfer;
mod trouble;

pub(crate) use lease::Lease;

/// A run in object storage.
#[derive(Debug)]
pub(crate) struct Remote {
    at: At,
    /// Where the run is worked on, on this machine.
    folder: PathBuf,
    /// The lock, while this process holds it.
    held: Mutex<Option<Arc<lease::Held>>>,
    records: records::Stored,
    cache: cache::Pinned,
}

/// What a request needs; cheap to clone, for it travels to other threads.
#[derive(Debug, Clone)]
struct At {
    store: Arc<dyn ObjectStore>,
    url: Arc<str>,
    prefix: Path,
    options: Arc<StorageOptions>,
}

impl Remote {
    pub(crate) fn open(url: &str, folder: PathBuf, options: StorageOptions) -> Result<Self> {
        let (store, prefix) = connect::connect(url, &options)?;
        let at = At { store, url: url.into(), prefix, options: Arc::new(options) };
        Ok(Self {
            at,
            folder,
            held: Mutex::default(),
            records: records::Stored::default(),
            cache: cache::Pinned::default(),
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.at.url
    }

    pub(crate) fn folder(&self) -> &FilePath {
        &self.folder
    }

    pub(crate) fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let (at, name) = (self.at.clone(), name.to_owned());
        bridge::wait(async move { Ok(at.get(&name).await?.map(|(bytes, _)| bytes)) })?
    }

    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let (at, name) = (self.at.clone(), name.to_owned());
        bridge::wait(async move { at.put(&name, bytes).await })?
    }

    pub(crate) fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let (at, folder) = (self.at.clone(), folder.to_owned());
        bridge::wait(async move { at.list(&folder).await })?
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let (at, name) = (self.at.clone(), name.to_owned());
        bridge::wait(async move { at.remove(vec![name]).await })?
    }
}

impl At {
    /// An object's key. What a cloud advises against in names is percent-encoded.
    fn key(&self, name: &str) -> Path {
        self.prefix.parts().chain(name.split('/').filter(|part| !part.is_empty()).map(PathPart::from)).collect()
    }

    /// The key of a name that a listing of `folder` gave: it is encoded already.
    fn listed_key(&self, folder: &str, name: &str) -> Result<Path> {
        let key = format!("{}/{name}", self.key(folder));
        Path::parse(&key).map_err(|error| Error::storage(format!("{}: {error}", self.url_of(&key))))
    }

    /// For a message.
    fn url_of(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    /// A request and all its tries, within a bounded time.
    async fn request<T>(
        &self,
        action: &str,
        name: &str,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Failed> {
        // The client bounds one try and the time in which it begins others: more than both together is a client that hangs.
        let limit = self.options.retry_for + 2 * self.options.request_within;
        match bridge::within(limit, request).await {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => {
                Err(Failed { error: trouble::of(action, &self.url_of(name), &error), cause: Some(error) })
            }
            None => Err(Failed { error: trouble::late(action, &self.url_of(name)), cause: None }),
        }
    }

    async fn get(&self, name: &str) -> Result<Option<(Vec<u8>, PutResult)>> {
        let key = self.key(name);
        let request = self.request("read", name, async {
            let got = self.store.get(&key).await?;
            let version = PutResult {
                e_tag: got.meta.e_tag.clone(),
                version: got.meta.version.clone(),
                extensions: Extensions::default(),
            };
            Ok((got.bytes().await?.to_vec(), version))
        });
        match request.await {
            Ok(found) => Ok(Some(found)),
            Err(failed) if failed.is_missing() => Ok(None),
            Err(failed) => Err(failed.error),
        }
    }

    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.put_as(name, bytes, PutMode::Overwrite).await.map(drop).map_err(|failed| failed.error)
    }

    async fn put_as(&self, name: &str, bytes: Vec<u8>, mode: PutMode) -> Result<PutResult, Failed> {
        let (key, payload) = (self.key(name), PutPayload::from(bytes));
        self.request("write", name, self.store.put_opts(&key, payload, PutOptions { mode, ..PutOptions::default() }))
            .await
    }

    /// Below `folder`, by the names that follow it, in order. An encoded name stays encoded.
    async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let key = self.key(folder);
        let listing = async {
            let mut found = Vec::new();
            let mut objects = self.store.list(Some(&key));
            while let Some(object) = objects.try_next().await? {
                let name = object.location.prefix_match(&key).map(|parts| parts.collect::<Path>().to_string());
                found.extend(name.filter(|name| !name.is_empty()).map(|name| (name, object.size)));
            }
            Ok(found)
        };
        let mut found = self.request("list", folder, listing).await.map_err(|failed| failed.error)?;
        found.sort_unstable();
        Ok(found)
    }

    /// Removes objects; those that are gone already are no error.
    async fn remove(&self, names: Vec<String>) -> Result<()> {
        self.remove_keys(names.iter().map(|name| self.key(name)).collect()).await
    }

    async fn remove_keys(&self, keys: Vec<Path>) -> Result<()> {
        let Some(first) = keys.first().map(ToString::to_string) else { return Ok(()) };
        let first = first.strip_prefix(self.prefix.as_ref()).unwrap_or(&first).trim_start_matches('/').to_owned();
        let keys = keys.into_iter().map(Ok).collect::<Vec<_>>();
        let removal = async {
            let mut removed = self.store.delete_stream(futures_util::stream::iter(keys).boxed());
            while let Some(result) = removed.next().await {
                match result {
                    Ok(_) | Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        self.request("remove", &first, removal).await.map_err(|failed| failed.error)
    }
}

/// A request that failed: what to say, and what to ask of it.
#[derive(Debug)]
struct Failed {
    error: crate::Error,
    /// `None` where no answer came.
    cause: Option<StoreError>,
}

impl Failed {
    /// The object is not there; a bucket that is not there is another matter.
    fn is_missing(&self) -> bool {
        matches!(&self.cause, Some(StoreError::NotFound { .. }))
            && !self.error.to_string().contains("there is no bucket")
    }

    /// A conditional write was refused: someone else was there before.
    fn is_refused(&self) -> bool {
        let refused = matches!(&self.cause, Some(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }));
        refused || self.is_missing()
    }
}
