//! From synchronous code into the asynchronous client, and back within a bounded time.

use std::future::Future;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};

/// Made on first use, for the whole process: connections are kept between calls.
static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();

fn runtime() -> Result<&'static Runtime> {
    RUNTIME
        .get_or_init(|| {
            // Two: one may be writing to the disk while the other hears the network.
            Builder::new_multi_thread().worker_threads(2).thread_name("trainloop-storage").enable_all().build()
        })
        .as_ref()
        .map_err(|error| Error::storage(format!("cannot start the threads that speak to object storage: {error}")))
}

/// Waits for a future. It runs on threads of its own, so this may be called from anywhere, another runtime included.
pub(super) fn wait<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    runtime()?.spawn(async move { sender.send(future.await) });
    receiver.recv().map_err(|_| Error::storage("a thread that speaks to object storage has ended early"))
}

/// What a request gave, or `None` where it took longer than `limit`.
pub(super) async fn within<T>(limit: Duration, request: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, request).await.ok()
}
