//! What the ranks are about to do, compared over the store before they do it.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::{ProcessGroup, next};
use crate::error::{Error, Result};
use crate::store::Store;

/// A collective on one rank.
#[derive(Debug, Serialize, Deserialize)]
struct Fingerprint {
    operation: String,
    /// The same on every rank: options, shapes and dtypes.
    what: String,
    /// Each rank's own: how much it sends to each, and gets from each.
    send: Vec<i64>,
    receive: Vec<i64>,
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.operation)?;
        if !self.what.is_empty() {
            write!(f, " ({})", self.what)?;
        }
        if !self.send.is_empty() {
            write!(f, ", sends {:?} and receives {:?} rows", self.send, self.receive)?;
        }
        Ok(())
    }
}

impl ProcessGroup {
    /// With [`GroupOptions::debug`](super::GroupOptions::debug): an error on every rank if they are about to do different
    /// things.
    pub(super) fn compare(&self, call: &Call, what: impl FnOnce() -> String) -> Result<()> {
        self.compare_shares(call, what, &[], &[])
    }

    /// [`compare`](Self::compare) where each rank sends and receives its own numbers of rows.
    pub(super) fn compare_shares(
        &self,
        call: &Call,
        what: impl FnOnce() -> String,
        send: &[i64],
        receive: &[i64],
    ) -> Result<()> {
        if !self.terms.debug || self.world_size == 1 {
            return Ok(());
        }
        let own = Fingerprint {
            operation: call.operation.to_owned(),
            what: what(),
            send: send.to_vec(),
            receive: receive.to_vec(),
        };
        let number = next(&self.compared);
        let all = self.exchange(call, number, &own)?;
        let same = all.iter().all(|theirs| (&theirs.operation, &theirs.what) == (&own.operation, &own.what));
        let fits = |from: usize, to: usize| all[from].send.get(to) == all[to].receive.get(from);
        if same && (0..all.len()).all(|from| (0..all.len()).all(|to| fits(from, to))) {
            return Ok(());
        }
        let message = format!(
            "the ranks do different things as collective {number} of the group: {}; let every rank call the same \
             collectives in the same order, with tensors that fit together",
            listed(all.iter().enumerate())
        );
        Err(Error::Desynchronised { operation: call.operation, message })
    }

    /// Every rank's fingerprint.
    fn exchange(&self, call: &Call, number: u64, own: &Fingerprint) -> Result<Vec<Fingerprint>> {
        let store = self.control()?;
        let key = |number: u64, rank: usize| format!("collective/{number}/{rank}");
        let refused = |error: &dyn std::fmt::Display| Error::Object {
            operation: call.operation,
            message: format!("what the ranks are about to do cannot be compared: {error}"),
        };
        let bytes = rmp_serde::to_vec(own).map_err(|error| refused(&error))?;
        store.set(&key(number, self.rank), &bytes)?;
        // Who has come to this collective has read everything of the one before the last.
        if let Some(read) = number.checked_sub(2) {
            store.delete(&key(read, self.rank))?;
        }
        let keys: Vec<String> = (0..self.world_size).map(|rank| key(number, rank)).collect();
        let read = |key: &str| -> Result<Fingerprint> {
            rmp_serde::from_slice(&store.get_within(key, self.timeout.get())?).map_err(|error| refused(&error))
        };
        let begun = Instant::now();
        let all: Vec<&str> = keys.iter().map(String::as_str).collect();
        match store.wait(&all, self.timeout.get()) {
            Ok(()) => keys.iter().map(|key| read(key)).collect(),
            Err(Error::Timeout { .. }) => {
                let there: Vec<usize> = present(store, &keys)?;
                let come = there.iter().map(|&rank| Ok((rank, read(&keys[rank])?))).collect::<Result<Vec<_>>>()?;
                let message = format!(
                    "rank {} of {} waited {:.1?} for rank {} before collective {number} of the group, and got: {}; see that \
                     every rank calls it, and that all have GroupOptions::debug",
                    self.rank,
                    self.world_size,
                    begun.elapsed(),
                    missing(&there, self.world_size),
                    listed(come.iter().map(|(rank, theirs)| (*rank, theirs))),
                );
                Err(Error::Timeout { operation: call.operation, message })
            }
            Err(error) => Err(error),
        }
    }
}

fn listed<'a>(all: impl Iterator<Item = (usize, &'a Fingerprint)>) -> String {
    all.map(|(rank, theirs)| format!("rank {rank}: {theirs}")).collect::<Vec<_>>().join("; ")
}

/// The ranks whose keys are set.
pub(super) fn present(store: &Store, keys: &[String]) -> Result<Vec<usize>> {
    let mut there = Vec::new();
    for (rank, key) in keys.iter().enumerate() {
        if store.contains(key)? {
            there.push(rank);
        }
    }
    Ok(there)
}

/// The ranks that are not there, for people: `1, 3`.
pub(super) fn missing(there: &[usize], world_size: usize) -> String {
    let absent = (0..world_size).filter(|rank| !there.contains(rank));
    absent.map(|rank| rank.to_string()).collect::<Vec<_>>().join(", ")
}
