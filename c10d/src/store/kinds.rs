//! The kinds of store: in a file, over TCP, in this process's memory, and a view of another with a prefix.

use std::path::Path;
use std::time::Duration;

use super::{DEFAULT_TIMEOUT, Store};
use crate::bridge::ffi;
use crate::error::{During, Error, Result};
use crate::{millis, version};

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
        version::check(OPERATION)?;
        let text =
            path.to_str().ok_or_else(|| Error::argument(OPERATION, format!("{} is not UTF-8", path.display())))?;
        // libtorch opens the file at the first use, and then retries for minutes where its folder does not exist.
        if !path.parent().is_some_and(|parent| parent.as_os_str().is_empty() || parent.is_dir()) {
            return Err(Error::argument(OPERATION, format!("the folder of {text} does not exist; make it first")));
        }
        let inner = ffi::new_file_store(text, world_size as i32).during(OPERATION)?;
        Ok(Store::new(inner, "FileStore", DEFAULT_TIMEOUT))
    }
}

/// A store that one process serves over TCP. See `torch.distributed.TCPStore`.
///
/// The server listens on every interface and asks for no password.
#[derive(Debug, Clone, Copy)]
pub struct TcpStore;

impl TcpStore {
    /// Serves a store on `port` (0: any free one) and gives it with the port. It is served until this handle and every
    /// group made of it have gone.
    ///
    /// # Errors
    /// [`Error::Network`] where the port is taken.
    pub fn serve(port: u16, timeout: Duration) -> Result<(Store, u16)> {
        const OPERATION: &str = "TcpStore::serve";
        version::check(OPERATION)?;
        let advise = |error: Error| {
            error.with_message(|message| format!("port {port}: {message}; choose another port, or 0 for any free one"))
        };
        let inner = ffi::new_tcp_store("127.0.0.1", port, true, millis(timeout)).during(OPERATION).map_err(advise)?;
        let port = ffi::tcp_store_port(&inner).during(OPERATION)?;
        Ok((Store::new(inner, "TcpStore", timeout), port))
    }

    /// Connects to a store that another process serves (by [`serve`](Self::serve), or PyTorch's `TCPStore`, as `torchrun`
    /// does), trying until `timeout`.
    ///
    /// # Errors
    /// [`Error::Network`] or [`Error::Timeout`] where no store answers in time.
    pub fn connect(host: &str, port: u16, timeout: Duration) -> Result<Store> {
        const OPERATION: &str = "TcpStore::connect";
        version::check(OPERATION)?;
        let advise = |error: Error| {
            error.with_message(|message| {
                format!("{host}:{port}: {message}; see that a store is served there and can be reached")
            })
        };
        let inner = ffi::new_tcp_store(host, port, false, millis(timeout)).during(OPERATION).map_err(advise)?;
        Ok(Store::new(inner, "TcpStore", timeout))
    }
}

/// A store in this process's memory, for ranks that are threads. See `torch.distributed.HashStore`.
///
/// Each thread has a handle of its own, by [`Store::try_clone`].
#[derive(Debug, Clone, Copy)]
pub struct HashStore;

impl HashStore {
    /// An empty store.
    ///
    /// # Errors
    /// Where libtorch refuses it.
    pub fn open() -> Result<Store> {
        const OPERATION: &str = "HashStore::open";
        version::check(OPERATION)?;
        let inner = ffi::new_hash_store().during(OPERATION)?;
        Ok(Store::new(inner, "HashStore", DEFAULT_TIMEOUT))
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
        Ok(Store::new(inner, store.kind, store.timeout.get()))
    }
}
