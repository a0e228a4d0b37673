//! Layers that look at the whole global batch, whichever ranks its samples are on.

mod replicas;
mod sync_batch_norm;

pub use replicas::Replicas;
pub use sync_batch_norm::SyncBatchNorm;
