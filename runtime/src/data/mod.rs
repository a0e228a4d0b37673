//! Datasets, the distributed sampler, the loader with its threads, and readers of data files.

#[cfg(feature = "parquet")]
pub mod arrow;
mod batch;
mod classes;
pub(crate) mod collate;
pub mod csv;
mod dataset;
mod epoch;
pub mod idx;
#[cfg(feature = "images")]
mod images;
mod in_memory;
mod loader;
mod map_tensors;
mod mersenne;
mod order;
#[cfg(feature = "parquet")]
pub mod parquet;
mod plan;
mod sampler;
mod stream;
mod tensors;

pub use batch::Batch;
pub(crate) use batch::GlobalBatch;
pub use collate::{Collate, Pad, Padded};
pub use dataset::{Dataset, Draw};
pub use epoch::Epoch;
#[cfg(feature = "images")]
pub use images::{ImageFolder, LabelledImage};
pub use in_memory::InMemory;
pub use loader::{DataLoader, DataLoaderBuilder};
pub use map_tensors::MapTensors;
pub use order::{BucketSampler, Order, WeightedSampler};
pub use sampler::{DistributedSampler, Tail};
pub use stream::{IterableDataset, StreamEpoch, StreamLoader, StreamLoaderBuilder};
pub use tensors::TensorDataset;
pub use trainloop_macros::Collate;

pub(crate) use stream::{Ranks as StreamRanks, StreamPosition};
