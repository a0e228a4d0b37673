//! Waiting for all ranks.

use std::time::Duration;

use super::call::Call;
use super::debug::{missing, present};
use super::{ProcessGroup, next};
use crate::error::{Error, Result};
use crate::millis;
use crate::store::Store;
use crate::work::Work;

/// What rank 0 says when all have come.
const ALL: &[u8] = b"all";

impl ProcessGroup {
    /// Waits until every rank has come here.
    ///
    /// # Errors
    /// Those of [every collective](Self).
    pub fn barrier(&self) -> Result<()> {
        self.start_barrier(0)?.wait()
    }

    /// [`barrier`](Self::barrier) with a timeout of its own.
    ///
    /// # Errors
    /// Those of [every collective](Self).
    pub fn barrier_timeout(&self, timeout: Duration) -> Result<()> {
        self.start_barrier(millis(timeout).max(1))?.wait()
    }

    /// [`barrier`](Self::barrier) in the background; ends when every rank has come and what this rank began before has ended.
    ///
    /// # Errors
    /// Those of [every collective](Self), now or out of the wait.
    pub fn barrier_async(&self) -> Result<Work<()>> {
        self.start_barrier(0)
    }

    fn start_barrier(&self, timeout_ms: i64) -> Result<Work<()>> {
        let call = self.call("barrier");
        self.compare(&call, String::new)?;
        Work::new(call, self.inner.barrier(timeout_ms), || Ok(()))
    }

    /// A barrier that names the ranks that do not come within `timeout`, on every rank that does. Rank 0 decides; the others
    /// wait for its word.
    ///
    /// Over the store, and so slower than [`barrier`](Self::barrier): libtorch's own names them on rank 0 alone, and ends the
    /// group's connections where one is late. After this one's timeout the group goes on as before. A rank that has ended is
    /// noticed when the timeout has passed, not before.
    ///
    /// # Errors
    /// [`Error::Timeout`] with the missing ranks, whether this rank waited for them or came too late itself; where the store
    /// cannot be reached.
    pub fn monitored_barrier(&self, timeout: Duration) -> Result<()> {
        let call = self.call("monitored_barrier");
        let store = self.control()?;
        let number = next(&self.barriers);
        let verdict = |number: u64| format!("barrier/{number}/verdict");
        let key = |number: u64, rank: usize| format!("barrier/{number}/{rank}");
        let keys: Vec<String> = (0..self.world_size).map(|rank| key(number, rank)).collect();
        // Rank 0 has read this rank's key of the barrier before, or nobody will.
        if let Some(before) = number.checked_sub(1) {
            store.delete(&key(before, self.rank))?;
        }
        store.set(&keys[self.rank], b"")?;
        if self.rank == 0 {
            let all: Vec<&str> = keys.iter().map(String::as_str).collect();
            let word = match store.wait(&all, timeout) {
                Ok(()) => ALL.to_vec(),
                Err(Error::Timeout { .. }) => missing(&present(store, &keys)?, self.world_size).into_bytes(),
                Err(error) => return Err(error),
            };
            store.set(&verdict(number), &word)?;
            if let Some(before) = number.checked_sub(2) {
                store.delete(&verdict(before))?;
            }
            return obey(&call, timeout, &word);
        }
        // Rank 0 may come as late as `timeout`, and then wait as long for the others.
        match store
            .wait(&[&keys[0]], timeout)
            .and_then(|()| store.get_within(&verdict(number), timeout.saturating_mul(2)))
        {
            Ok(word) => obey(&call, timeout, &word),
            Err(Error::Timeout { .. }) => {
                let absent = give_up(store, &keys, self.rank)?;
                obey(&call, timeout, absent.as_bytes())
            }
            Err(error) => Err(error),
        }
    }
}

/// Takes this rank's key back, so that rank 0, should it still come, does not pass alone; and names who is missing.
fn give_up(store: &Store, keys: &[String], rank: usize) -> Result<String> {
    let there = present(store, keys)?;
    store.delete(&keys[rank])?;
    let absent = missing(&there, keys.len());
    // All have come by now, but too late.
    Ok(if absent.is_empty() { "0".to_owned() } else { absent })
}

/// The result that rank 0's word stands for.
fn obey(call: &Call, timeout: Duration, word: &[u8]) -> Result<()> {
    if word == ALL {
        return Ok(());
    }
    let absent = String::from_utf8_lossy(word);
    let message = format!(
        "rank {absent} did not come within {timeout:?}, says rank {} of {}; see what they are doing",
        call.rank, call.world_size
    );
    Err(Error::Timeout { operation: call.operation, message })
}
