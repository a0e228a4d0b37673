//! Files on their way up and down: in parts, several at once, with a bounded share of memory.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use futures_util::stream::{StreamExt, TryStreamExt};
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use super::At;
use crate::disk::write_error;
use crate::error::{Error, Result};

/// So many parts are in memory and under way at once.
const AT_ONCE: usize = 8;

/// The clouds take ten thousand parts of one file, and want at least this much in each but the last.
const MOST_PARTS: u64 = 9_000;

/// A file here, and the name of its object.
pub(super) struct Transfer {
    pub(super) file: PathBuf,
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// Brings files up. Nothing of a file counts before its last part.
pub(super) async fn upload(at: At, transfers: Vec<Transfer>) -> Result<()> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    futures_util::stream::iter(transfers)
        .map(|transfer| upload_file(&at, transfer, Arc::clone(&permits)))
        .buffer_unordered(AT_ONCE / 2)
        .try_collect()
        .await
}

async fn upload_file(at: &At, transfer: Transfer, permits: Arc<Semaphore>) -> Result<()> {
    let Transfer { file: path, name, bytes } = &transfer;
    let file = File::open(path).map_err(Error::io("read", path))?;
    let part = at.options.part.max(bytes.div_ceil(MOST_PARTS));
    if *bytes <= part {
        let _permit = permits.acquire().await;
        return at.put(name, read(&file, path, 0, *bytes)?).await;
    }
    let key = at.key(name);
    let begun = at.request("write", name, at.store.put_multipart(&key)).await;
    let mut upload = begun.map_err(|failed| failed.error)?;
    let sent = send_parts(at, &transfer, &file, part, upload.as_mut(), &permits).await;
    let done = match sent {
        Ok(()) => at.request("write", name, upload.complete()).await.map(drop).map_err(|failed| failed.error),
        Err(error) => Err(error),
    };
    if done.is_err() {
        // Parts that lie about cost money. Where this fails too, the bucket's own rules for old parts are left.
        let _ = at.request("give up", name, upload.abort()).await;
    }
    done
}

async fn send_parts(
    at: &At,
    Transfer { file: path, name, bytes }: &Transfer,
    file: &File,
    part: u64,
    upload: &mut dyn MultipartUpload,
    permits: &Arc<Semaphore>,
) -> Result<()> {
    // Dropped, it ends what is under way.
    let mut under_way = JoinSet::new();
    let mut begin = 0;
    while begin < *bytes {
        let permit = Arc::clone(permits).acquire_owned().await;
        while let Some(sent) = under_way.try_join_next() {
            joined(sent)?;
        }
        let length = part.min(bytes - begin);
        let request = upload.put_part(PutPayload::from(read(file, path, begin, length)?));
        let (at, name) = (at.clone(), name.clone());
        under_way.spawn(async move {
            let _permit = permit;
            at.request("write", &name, request).await.map_err(|failed| failed.error)
        });
        begin += length;
    }
    while let Some(sent) = under_way.join_next().await {
        joined(sent)?;
    }
    Ok(())
}

fn joined(sent: Result<Result<()>, JoinError>) -> Result<()> {
    sent.unwrap_or_else(|error| Err(Error::storage(format!("a part of a file was not sent: {error}"))))
}

fn read(file: &File, path: &FilePath, begin: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, begin).map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// Brings files down, flushed. Their checksums are for the caller to compare.
pub(super) async fn download(at: At, transfers: Vec<Transfer>) -> Result<(), Missing> {
    let mut parts = Vec::new();
    for transfer in &transfers {
        let file = Arc::new(File::create_new(&transfer.file).map_err(write_error("create", &transfer.file))?);
        let mut begin = 0;
        while begin < transfer.bytes {
            let end = transfer.bytes.min(begin + at.options.part);
            parts.push(fetch_part(&at, transfer, Arc::clone(&file), begin..end));
            begin = end;
        }
    }
    let () = futures_util::stream::iter(parts).buffer_unordered(AT_ONCE).try_collect().await?;
    for transfer in &transfers {
        File::open(&transfer.file).and_then(|file| file.sync_all()).map_err(write_error("flush", &transfer.file))?;
    }
    Ok(())
}

async fn fetch_part(at: &At, transfer: &Transfer, file: Arc<File>, range: Range<u64>) -> Result<(), Missing> {
    let Transfer { file: path, name, .. } = transfer;
    let (key, begin) = (at.key(name), range.start);
    let got = at.request("read", name, at.store.get_range(&key, range)).await;
    let bytes = match got {
        Err(failed) if failed.is_missing() => return Err(Missing::Object(name.clone())),
        got => got.map_err(|failed| failed.error)?,
    };
    file.write_all_at(&bytes, begin).map_err(write_error("write", path))?;
    Ok(())
}

/// Why files did not come down.
pub(super) enum Missing {
    /// One is not in the storage: the checkpoint is damaged.
    Object(String),
    /// The storage or the disk failed: nothing is known of the checkpoint.
    Failed(Error),
}

impl From<Error> for Missing {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
