//! One thread's shards, one after another, as batches.

use super::IterableDataset;
use super::position::{Part, Progress};
use crate::data::dataset::{Finish, guarded};
use crate::error::{BoxError, Error, Result};

/// Reads a lane's parts from its place on: an iterator over its batches. After an error it ends.
pub(super) struct Lane<D: IterableDataset> {
    dataset: D,
    finish: Finish<D::Batch>,
    epoch: u64,
    batch_size: usize,
    drop_last: bool,
    parts: Vec<Part>,
    progress: Progress,
    open: Option<D::Samples>,
    failed: bool,
}

/// A batch, how many samples it has, and how far its lane has come with it.
pub(super) struct Read<B> {
    pub(super) batch: B,
    pub(super) samples: usize,
    pub(super) progress: Progress,
}

/// What a lane does with samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) drop_last: bool,
}

impl<D: IterableDataset> Lane<D> {
    pub(super) fn new(
        dataset: D,
        finish: Finish<D::Batch>,
        epoch: u64,
        sizes: Sizes,
        parts: Vec<Part>,
        progress: Progress,
    ) -> Self {
        let Sizes { batch: batch_size, drop_last } = sizes;
        Self { dataset, finish, epoch, batch_size, drop_last, parts, progress, open: None, failed: false }
    }

    /// The next sample of all parts.
    fn sample(&mut self) -> Result<Option<D::Sample>> {
        while let Some(&(shard, skip)) = self.parts.get(self.progress.part) {
            let seen = self.progress.seen.max(skip);
            let of_sample = |source: BoxError| Error::ShardSample { shard, index: seen, source };
            let panicked = |message: String| of_sample(format!("it panicked: {message}").into());
            if self.open.is_none() {
                let opened = guarded(|| self.dataset.open_at(shard, self.epoch, seen)).map_err(panicked)?;
                self.open = Some(opened.map_err(|error| of_sample(error.into()))?);
            }
            let next = guarded(|| self.open.as_mut().and_then(Iterator::next)).map_err(panicked)?;
            if let Some(sample) = next.transpose().map_err(|error| of_sample(error.into()))? {
                self.progress.seen = seen + 1;
                return Ok(Some(sample));
            }
            self.open = None;
            self.progress = Progress { part: self.progress.part + 1, seen: 0 };
        }
        Ok(None)
    }

    fn batch(&mut self) -> Result<Option<Read<D::Batch>>> {
        let mut samples = Vec::with_capacity(self.batch_size);
        while samples.len() < self.batch_size {
            match self.sample()? {
                Some(sample) => samples.push(sample),
                None => break,
            }
        }
        let count = samples.len();
        if count == 0 || (self.drop_last && count < self.batch_size) {
            return Ok(None);
        }
        let collated = guarded(|| self.dataset.collate(samples).and_then(self.finish));
        let batch = collated.unwrap_or_else(|message| {
            Err(Error::other(format!("the dataset panicked while it made a batch of {count} samples: {message}")))
        })?;
        Ok(Some(Read { batch, samples: count, progress: self.progress }))
    }
}

impl<D: IterableDataset> Iterator for Lane<D> {
    type Item = Result<Read<D::Batch>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let read = self.batch().transpose();
        self.failed = matches!(read, Some(Err(_)));
        read
    }
}
