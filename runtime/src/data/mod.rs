//! Datasets, the distributed sampler, the loader with its threads, and readers of data files.

mod batch;
mod dataset;
mod epoch;
pub mod idx;
mod loader;
mod plan;
mod sampler;

pub use batch::Batch;
pub(crate) use batch::GlobalBatch;
pub use dataset::Dataset;
pub use epoch::Epoch;
pub use loader::{DataLoader, DataLoaderBuilder};
pub use sampler::{DistributedSampler, Tail};
