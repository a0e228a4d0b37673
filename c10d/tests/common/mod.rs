//! Ranks as threads of this process, each with its own store and process group.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod process;

use std::path::Path;
use std::time::Duration;

use trainloop_c10d::{FileStore, Interface, ProcessGroup};

/// So long a collective may hang before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Joins the group whose store is in `folder`.
pub(crate) fn join(folder: &Path, rank: usize, world_size: usize, timeout: Duration) -> ProcessGroup {
    let store = FileStore::open(&folder.join("store"), world_size).unwrap();
    ProcessGroup::gloo(&store, rank, world_size, timeout, Interface::Loopback).unwrap()
}

/// Runs `run` as each rank of a group of `world_size`, and gives what each returns, in the order of ranks.
pub(crate) fn ranks<T: Send>(world_size: usize, run: impl Fn(ProcessGroup) -> T + Sync) -> Vec<T> {
    ranks_with_timeout(world_size, PATIENCE, run)
}

/// [`ranks`] with a timeout for the group's collectives.
pub(crate) fn ranks_with_timeout<T: Send>(
    world_size: usize,
    timeout: Duration,
    run: impl Fn(ProcessGroup) -> T + Sync,
) -> Vec<T> {
    let folder = tempfile::tempdir().unwrap();
    let (run, path) = (&run, folder.path());
    std::thread::scope(|scope| {
        let ranks: Vec<_> =
            (0..world_size).map(|rank| scope.spawn(move || run(join(path, rank, world_size, timeout)))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}
