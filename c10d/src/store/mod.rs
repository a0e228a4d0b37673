//! Key-value stores through which the ranks of a group find each other.

mod kinds;

use std::cell::Cell;
use std::time::Duration;

use cxx::UniquePtr;
pub use kinds::{FileStore, HashStore, PrefixStore, TcpStore};

use crate::bridge::ffi;
use crate::error::{During, Error, Result};
use crate::millis;

/// How long a store waits if nothing else is said; c10d's own.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// A handle of a key-value store that every rank of a group sees.
///
/// Made by [`FileStore`], [`TcpStore`], [`HashStore`] or [`PrefixStore`]; the first three give [`Error::Version`] where the
/// program has loaded another libtorch than it was compiled for. A store is no place for secrets: what is in it
/// is readable by whoever reaches the file or the port.
pub struct Store {
    inner: UniquePtr<ffi::Store>,
    /// For errors, such as `FileStore`.
    kind: &'static str,
    /// This handle's own. c10d's is one for all handles, and a plain field that no lock guards.
    timeout: Cell<Duration>,
}

// SAFETY: c10d's stores guard their state with a mutex and own no thread-local data; the one field without a lock, the
// timeout, is never written once the store is made. So a handle may move to another thread, even if others share its store.
unsafe impl Send for Store {}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("kind", &self.kind).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Store {
    fn new(inner: UniquePtr<ffi::Store>, kind: &'static str, timeout: Duration) -> Self {
        Self { inner, kind, timeout: Cell::new(timeout) }
    }

    pub(crate) fn bridge(&self) -> &ffi::Store {
        &self.inner
    }

    /// Another handle of the same store, for another thread: no wait on one delays a call on the other. Over TCP it is a
    /// connection of its own. A [`FileStore`] counts it as one more user that leaves.
    ///
    /// # Errors
    /// Where the file or the server cannot be reached.
    pub fn try_clone(&self) -> Result<Self> {
        let inner = self.inner.clone_handle().during("Store::try_clone")?;
        Ok(Self::new(inner, self.kind, self.timeout.get()))
    }

    /// Another handle of the same c10d object.
    pub(crate) fn share(&self) -> Self {
        Self::new(self.inner.share(), self.kind, self.timeout.get())
    }

    /// Sets `key` to `value`. Once this has returned, every handle sees it.
    ///
    /// # Errors
    /// Where the file or the server cannot be reached.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        const OPERATION: &str = "Store::set";
        self.named(OPERATION, key, self.inner.set(key, value))?;
        // The client of a TcpStore does not wait for its server, which may read another's question before this value. The
        // answer to a question of our own comes after it.
        self.named(OPERATION, key, self.inner.check(key)).map(drop)
    }

    /// The value of `key`, waiting for it to be set, at most for this handle's timeout.
    ///
    /// # Errors
    /// [`Error::Timeout`] where the key is not set in time; where the store cannot be reached.
    pub fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.get_within(key, self.timeout.get())
    }

    /// [`get`](Self::get) with a timeout of its own.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_within(&self, key: &str, timeout: Duration) -> Result<Vec<u8>> {
        self.waited("Store::get", &[key], timeout, self.inner.get(key, positive_millis(timeout)))
    }

    /// Adds to the counter at `key`, which begins at 0, and gives its new value.
    ///
    /// # Errors
    /// Where `key` holds something that is no number (a [`TcpStore`] then closes the connection of this handle), or the store
    /// cannot be reached.
    pub fn add(&self, key: &str, amount: i64) -> Result<i64> {
        self.named("Store::add", key, self.inner.add(key, amount))
    }

    /// Sets `key` to `desired` if its value is `expected`, in one step that no other rank comes between; an empty `expected`
    /// fits a key that is not set, too. Gives the value that the key has then: `desired`, if it was set. Where the key is not
    /// set and `expected` is not empty, nothing is set and `expected` comes back, as in PyTorch.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    pub fn compare_set(&self, key: &str, expected: &[u8], desired: &[u8]) -> Result<Vec<u8>> {
        self.named("Store::compare_set", key, self.inner.compare_set(key, expected, desired))
    }

    /// Waits until all of `keys` are set.
    ///
    /// # Errors
    /// [`Error::Timeout`], naming the keys that are not set in time; where the store cannot be reached.
    pub fn wait(&self, keys: &[&str], timeout: Duration) -> Result<()> {
        let names: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        self.waited("Store::wait", keys, timeout, self.inner.wait(&names, positive_millis(timeout)))
    }

    /// True if `key` is set; does not wait.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    pub fn contains(&self, key: &str) -> Result<bool> {
        self.named("Store::contains", key, self.inner.check(key))
    }

    /// Removes `key`; true if it was there.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    pub fn delete(&self, key: &str) -> Result<bool> {
        const OPERATION: &str = "Store::delete";
        // A FileStore says true whatever was there.
        let there = self.named(OPERATION, key, self.inner.check(key))?;
        Ok(self.named(OPERATION, key, self.inner.delete_key(key))? && there)
    }

    /// How many keys the whole store has: a prefix changes nothing, and the few that a store sets for itself count, too.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    pub fn num_keys(&self) -> Result<usize> {
        let count = self.inner.num_keys().during("Store::num_keys").map_err(|error| self.advise(error))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// How long [`get`](Self::get) waits on this handle.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout.get()
    }

    /// How long [`get`](Self::get) waits on this handle from now on. Other handles keep theirs.
    pub fn set_timeout(&self, timeout: Duration) {
        self.timeout.set(timeout);
    }

    /// The result of a call that does not wait, with the key in its error.
    fn named<T>(&self, operation: &'static str, key: &str, result: Result<T, cxx::Exception>) -> Result<T> {
        let error = |error: Error| self.advise(error.with_message(|message| format!("key `{key}`: {message}")));
        result.during(operation).map_err(error)
    }

    /// The result of a call that waits for keys, with those that are missing in its error.
    fn waited<T>(
        &self,
        operation: &'static str,
        keys: &[&str],
        timeout: Duration,
        result: Result<T, cxx::Exception>,
    ) -> Result<T> {
        let error = match result.during(operation) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Error::Timeout { .. } = error else {
            let keys = quoted(keys);
            return Err(self.advise(error.with_message(|message| format!("{keys}: {message}"))));
        };
        // Whoever comes between may have set one; then all are named.
        let unset = |key: &&str| matches!(self.inner.check(key), Ok(false));
        let mut missing: Vec<&str> = keys.iter().copied().filter(unset).collect();
        if missing.is_empty() {
            missing = keys.to_vec();
        }
        let missing = quoted(&missing);
        Err(error.with_message(|_| {
            format!("{missing} not set within {timeout:?}; see that a rank sets it, or give it longer")
        }))
    }

    /// Says what to do about a store that does not answer, or whose value is of another kind.
    fn advise(&self, error: Error) -> Error {
        match error {
            Error::Network { .. } => error.with_message(|message| {
                format!("{message}; see that the process that serves the store is still running")
            }),
            // A FileStore's and a HashStore's plain exceptions: no peer has failed.
            Error::Backend { operation, message } => {
                let message = format!(
                    "{message}; see that the value is what the call needs, and that the {} can be used",
                    self.kind
                );
                Error::Store { operation, message }
            }
            error => error,
        }
    }
}

fn quoted(keys: &[&str]) -> String {
    let quoted: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    format!("{} {}", if keys.len() == 1 { "key" } else { "keys" }, quoted.join(", "))
}

/// c10d reads 0 as for ever.
fn positive_millis(timeout: Duration) -> i64 {
    millis(timeout).max(1)
}
