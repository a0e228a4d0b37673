//! Key-value stores through which the ranks of a group find each other.

use std::path::Path;
use std::time::Duration;

use cxx::UniquePtr;

use crate::bridge::ffi;
use crate::error::{During, Error, Result};
use crate::millis;

/// A key-value store that every rank of a group sees.
///
/// Made by [`FileStore`], [`TcpStore`] or [`PrefixStore`]. A store is no place for secrets: what is in it is
/// readable by whoever reaches the file or the port.
pub struct Store {
    inner: UniquePtr<ffi::Store>,
}

// SAFETY: c10d's stores guard their state with a mutex and own no thread-local data; a handle may move to another thread.
unsafe impl Send for Store {}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    pub(crate) fn bridge(&self) -> &ffi::Store {
        &self.inner
    }

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// Where the file or the server cannot be reached.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        self.inner.set(key, value).during("Store::set")
    }

    /// The value of `key`, waiting for it to be set, at most for the store's timeout.
    ///
    /// # Errors
    /// [`Error::Timeout`] where the key is not set in time; where the store cannot be reached.
    pub fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.inner.get(key).during("Store::get")
    }

    /// Adds to the counter at `key`, which begins at 0, and gives its new value.
    ///
    /// # Errors
    /// Where `key` holds something that is no number, or the store cannot be reached.
    pub fn add(&self, key: &str, amount: i64) -> Result<i64> {
        self.inner.add(key, amount).during("Store::add")
    }

    /// Waits until all of `keys` are set.
    ///
    /// # Errors
    /// [`Error::Timeout`] where they are not in time; where the store cannot be reached.
    pub fn wait(&self, keys: &[&str], timeout: Duration) -> Result<()> {
        let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        self.inner.wait(&keys, millis(timeout)).during("Store::wait")
    }

    /// True if `key` is set; does not wait.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    pub fn contains(&self, key: &str) -> Result<bool> {
        self.inner.check(key).during("Store::contains")
    }

    /// Removes `key`; true if it was there.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    pub fn delete(&self, key: &str) -> Result<bool> {
        const OPERATION: &str = "Store::delete";
        // A FileStore says true whatever was there.
        let there = self.inner.check(key).during(OPERATION)?;
        Ok(self.inner.delete_key(key).during(OPERATION)? && there)
    }

    /// How long [`get`](Self::get) waits from now on.
    ///
    /// # Errors
    /// Where libtorch refuses the value.
    pub fn set_timeout(&self, timeout: Duration) -> Result<()> {
        self.inner.set_timeout(millis(timeout)).during("Store::set_timeout")
    }
}

/// A store in one file that all ranks can open; opens no port. See `torch.distributed.FileStore`.
#[derive(Debug, Clone, Copy)]
pub struct FileStore;

impl FileStore {
    /// Opens the store, making the file if there is none. `world_size` is the number of ranks that will use it: the last
    /// of them to leave removes the file.
    ///
    /// # Errors
    /// Where the path is not UTF-8 or its folder does not exist.
    pub fn open(path: &Path, world_size: usize) -> Result<Store> {
        const OPERATION: &str = "FileStore::open";
        let text =
            path.to_str().ok_or_else(|| Error::argument(OPERATION, format!("{} is not UTF-8", path.display())))?;
        // libtorch opens the file at the first use, and then retries for minutes where its folder does not exist.
        if !path.parent().is_some_and(|parent| parent.as_os_str().is_empty() || parent.is_dir()) {
            return Err(Error::argument(OPERATION, format!("the folder of {text} does not exist; make it first")));
        }
        let inner = ffi::new_file_store(text, world_size as i32).during(OPERATION)?;
        Ok(Store { inner })
    }
}

/// A store that one process serves over TCP. See `torch.distributed.TCPStore`.
///
/// The server listens on every interface and asks for no password.
#[derive(Debug, Clone, Copy)]
pub struct TcpStore;

impl TcpStore {
    /// Serves a store on `port` (0: any free one) and gives it with the port.
    ///
    /// # Errors
    /// [`Error::Network`] where the port is taken.
    pub fn serve(port: u16, timeout: Duration) -> Result<(Store, u16)> {
        const OPERATION: &str = "TcpStore::serve";
        let inner = ffi::new_tcp_store("127.0.0.1", port, true, millis(timeout)).during(OPERATION)?;
        let port = ffi::tcp_store_port(&inner).during(OPERATION)?;
        Ok((Store { inner }, port))
    }

    /// Connects to a store that another process serves, trying until `timeout`.
    ///
    /// # Errors
    /// [`Error::Network`] or [`Error::Timeout`] where no store answers in time.
    pub fn connect(host: &str, port: u16, timeout: Duration) -> Result<Store> {
        let inner = ffi::new_tcp_store(host, port, false, millis(timeout)).during("TcpStore::connect")?;
        Ok(Store { inner })
    }
}

/// A view of another store in which each key has a prefix, so that several groups share one store.
#[derive(Debug, Clone, Copy)]
pub struct PrefixStore;

impl PrefixStore {
    /// A store whose key `k` is `prefix/k` in `store`.
    ///
    /// # Errors
    /// Where libtorch refuses it.
    pub fn over(prefix: &str, store: &Store) -> Result<Store> {
        let inner = ffi::new_prefix_store(prefix, &store.inner).during("PrefixStore::over")?;
        Ok(Store { inner })
    }
}
