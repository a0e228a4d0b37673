//! Waiting for all ranks.

use std::time::Duration;

use super::debug::{missing, present};
use super::{ProcessGroup, next};
use crate::error::{Error, Result};
use crate::millis;
use crate::work::Work;

/// What is decided when all have come.
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

    /// A barrier that names the ranks that do not come within `timeout`, on every rank that does. All ranks pass, or none
    /// does: the first to know decides, and one that comes later gets the same error.
    ///
    /// Over the store, and so slower than [`barrier`](Self::barrier): libtorch's own names them on rank 0 alone, and ends the
    /// group's connections where one is late. After this one's timeout the group goes on as before. A rank that has ended is
    /// noticed when the timeout has passed, not before.
    ///
    /// # Errors
    /// [`Error::Timeout`] with the missing ranks, this one too if it came too late; where the store cannot be reached.
    pub fn monitored_barrier(&self, timeout: Duration) -> Result<()> {
        let call = self.call("monitored_barrier");
        let store = self.control()?;
        let number = next(&self.barriers);
        let verdict = |number: u64| format!("barrier/{number}/verdict");
        let key = |number: u64, rank: usize| format!("barrier/{number}/{rank}");
        let keys: Vec<String> = (0..self.world_size).map(|rank| key(number, rank)).collect();
        let all: Vec<&str> = keys.iter().map(String::as_str).collect();
        store.set(&keys[self.rank], b"")?;
        let word = match store.wait(&all, timeout) {
            Ok(()) => ALL.to_vec(),
            Err(Error::Timeout { .. }) => match missing(&present(store, &keys)?, self.world_size) {
                // They came between the two questions.
                absent if absent.is_empty() => ALL.to_vec(),
                absent => absent.into_bytes(),
            },
            Err(error) => return Err(error),
        };
        let word = store.compare_set(&verdict(number), b"", &word)?;
        if word != ALL {
            let absent = String::from_utf8_lossy(&word);
            let message = format!(
                "rank {absent} did not come within {timeout:?}, says rank {} of {}; see what they are doing",
                self.rank, self.world_size
            );
            return Err(Error::Timeout { operation: call.operation, message });
        }
        // All have come, so all are done with the barrier before. One that failed leaves its keys: somebody may yet come.
        if let Some(before) = number.checked_sub(1) {
            store.delete(&key(before, self.rank))?;
            if self.rank == 0 {
                store.delete(&verdict(before))?;
            }
        }
        Ok(())
    }
}
