//! How a worker joins the others in a process group.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::activity;
use super::channel_link::ChannelLink;
use crate::c10d::{self, FileStore, GroupOptions, Interface, ProcessGroup, TcpStore};
use crate::channel::{Shared, Start, StoreAt, Stream, ToController};
use crate::error::{Error, Result};
use crate::trainer::Backend;

/// The group of all ranks; `None` for a single one.
pub(super) fn join(
    start: &Start,
    rank: usize,
    channel: &Stream,
    link: &ChannelLink,
) -> Result<Option<Rc<ProcessGroup>>> {
    if start.world_size == 1 {
        return Ok(None);
    }
    let timeout = Duration::from_millis(start.collective_timeout_ms);
    // On the way to the driver this machine has an address by which the others reach it as well.
    let address = channel.local_address().map(|address| address.to_string());
    let (store, interface) = match &start.store {
        StoreAt::File(path) => (FileStore::open(Path::new(path), start.world_size)?, Interface::Loopback),
        StoreAt::Here { host } => {
            let (store, port) = TcpStore::serve(0, timeout)?;
            link.send(&ToController::Serves { port })?;
            (store, Interface::Host(host))
        }
        StoreAt::There { host, port } => {
            let store = TcpStore::connect(host, *port, timeout)?;
            (store, Interface::Host(address.as_deref().unwrap_or(host)))
        }
    };
    let backend = match start.backend {
        Backend::Gloo => c10d::Backend::Gloo,
        #[cfg(feature = "nccl")]
        Backend::Nccl => c10d::Backend::Nccl { device: gpu(start) },
    };
    let options = GroupOptions { timeout, interface, backend, ..GroupOptions::default() };
    let group = ProcessGroup::with_options(&store, rank, start.world_size, options)?;
    group.observe(activity::observe);
    Ok(Some(Rc::new(group)))
}

/// Which of this machine's GPUs is this rank's. An engine may show each process its own alone.
pub(super) fn gpu(start: &Start) -> usize {
    if tch::Cuda::device_count() == 1 { 0 } else { start.local_rank }
}

/// Sees that the run's folder is the same on this machine as on the driver's.
pub(super) fn see_shared(shared: &Shared) -> Result<()> {
    // What another machine has just written may take a moment to be seen.
    const TRIES: u32 = 40;
    for attempt in 1..=TRIES {
        match std::fs::read_to_string(&shared.path) {
            Ok(text) if text == shared.holds => return Ok(()),
            _ if attempt < TRIES => std::thread::sleep(Duration::from_millis(250)),
            _ => {}
        }
    }
    Err(Error::config(format!(
        "this rank's machine does not see the run's folder as the driver's does ({} is not there, or another file); put the runs \
         where all nodes see the same: a shared file system, or object storage (`RunConfig::storage`)",
        shared.path.display()
    )))
}
