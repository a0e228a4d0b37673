//! Object storage in a build without the feature `object-store`: a type without a value, so that nothing else has to ask.

use std::path::{Path, PathBuf};

use crate::commit::{Committed, Staged};
use crate::error::{Error, Result};
use crate::manifest::{FileEntry, Manifest};
use crate::ranking::Ranked;
use crate::storage::StorageOptions;
use crate::sweep::Swept;

#[derive(Debug)]
pub(crate) enum Remote {}

#[derive(Debug)]
pub(crate) enum Lease {}

impl Remote {
    pub(crate) fn open(url: &str, _: PathBuf, _: StorageOptions) -> Result<Self> {
        Err(Error::storage(format!(
            "{url} is object storage, which this build cannot use; turn on trainloop's feature `object-store` in Cargo.toml"
        )))
    }
}

macro_rules! never {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        impl Remote {
            $(pub(crate) fn $name(&self, $(_: $argument),*) -> $result {
                match *self {}
            })*
        }
    };
}

never! {
    url() -> &str;
    folder() -> &Path;
    get(&str) -> Result<Option<Vec<u8>>>;
    put(&str, Vec<u8>) -> Result<()>;
    list(&str) -> Result<Vec<(String, u64)>>;
    remove(&str) -> Result<()>;
    fetch_records() -> Result<bool>;
    store_records() -> Result<()>;
    lock() -> Result<Lease>;
    upload(u64, &Path, &[FileEntry]) -> Result<()>;
    commit(Staged) -> Result<Committed>;
    abandon(u64) -> ();
    delete(u64) -> Result<()>;
    sweep() -> Result<Swept>;
    committed() -> Result<Vec<u64>>;
    ranked() -> Result<Vec<Ranked>>;
    highest_index() -> Result<Option<u64>>;
    latest_whole(&mut dyn FnMut(String)) -> Result<Option<(u64, PathBuf, Manifest)>>;
    manifest(u64) -> Result<Manifest>;
    fetch(u64) -> Result<PathBuf>;
}
