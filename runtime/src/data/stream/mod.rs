//! Datasets that are read from one end to the other, a shard at a time.
//!
//! An [`IterableDataset`] is divided into shards: files, row groups, partitions. A [`StreamLoader`] deals them out over all
//! threads of all ranks, reads each from its beginning to its end, and knows at every batch how far each has come.

mod epoch;
mod lane;
mod loader;
mod position;

pub use epoch::StreamEpoch;
pub use loader::{StreamLoader, StreamLoaderBuilder};

pub(crate) use epoch::Ranks;
pub(crate) use position::StreamPosition;

use crate::error::Result;

/// Samples that come one after another, in shards: PyTorch's `IterableDataset`, whose shards the loader deals out.
///
/// A dataset is a handle: it is cloned for each of the loader's threads.
///
/// ```
/// use std::fs::File;
/// use std::io::{BufRead, BufReader, Lines};
/// use std::path::PathBuf;
/// use std::sync::Arc;
///
/// use trainloop::data::IterableDataset;
/// use trainloop::prelude::*;
///
/// /// The lines of text files, each file a shard.
/// #[derive(Clone)]
/// struct Texts(Arc<[PathBuf]>);
///
/// struct Text(Lines<BufReader<File>>);
///
/// impl Iterator for Text {
///     type Item = Result<String>;
///
///     fn next(&mut self) -> Option<Result<String>> {
///         Some(self.0.next()?.map_err(Error::other))
///     }
/// }
///
/// impl IterableDataset for Texts {
///     type Sample = String;
///     type Batch = Vec<String>;
///     type Samples = Text;
///
///     fn shards(&self) -> usize {
///         self.0.len()
///     }
///
///     fn open(&self, shard: usize, _epoch: u64) -> Result<Text> {
///         Ok(Text(BufReader::new(File::open(&self.0[shard])?).lines()))
///     }
///
///     fn collate(&self, lines: Vec<String>) -> Result<Vec<String>> {
///         Ok(lines)
///     }
/// }
/// ```
pub trait IterableDataset: Clone + Send + 'static {
    /// One sample.
    type Sample;
    /// What the loop gets: several samples.
    type Batch: Send + 'static;
    /// The samples of a shard, in their order. After an error it is not asked again.
    type Samples: Iterator<Item = Result<Self::Sample>>;

    /// How many shards there are; on all ranks as many.
    fn shards(&self) -> usize;

    /// The samples of shard `shard`, which is below [`shards`](Self::shards), from its beginning. They must be the same, in
    /// the same order, whenever it is opened for that epoch: a place in the stream is a number of samples.
    ///
    /// # Errors
    /// Any: it reaches the loop as [`Error::ShardSample`](crate::Error::ShardSample), with the shard.
    fn open(&self, shard: usize, epoch: u64) -> Result<Self::Samples>;

    /// The samples of a shard without its first `skip`, as where a run goes on inside it. By default these are read and
    /// dropped; a format that can seek does better.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn open_at(&self, shard: usize, epoch: u64, skip: u64) -> Result<Self::Samples> {
        let mut samples = self.open(shard, epoch)?;
        for _ in 0..skip {
            if samples.next().transpose()?.is_none() {
                break;
            }
        }
        Ok(samples)
    }

    /// A batch of at least one sample.
    ///
    /// # Errors
    /// Any: it reaches the loop as it is.
    fn collate(&self, samples: Vec<Self::Sample>) -> Result<Self::Batch>;
}

#[cfg(test)]
mod tests;
