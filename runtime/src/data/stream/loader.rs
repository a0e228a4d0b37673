//! Batches of a stream, read ahead by threads.

use std::cell::RefCell;
use std::rc::Rc;

use tch::Device;

use super::IterableDataset;
use super::epoch::{Ranks, StreamEpoch};
use super::lane::Sizes;
use super::position::{Division, StreamPosition};
use crate::callback::EpochInfo;
use crate::data::dataset::Finish;
use crate::data::map_tensors::{MapTensors, pinning};
use crate::error::{Error, Result};
use crate::optim::LossWeight;

/// Gives a stream's batches, epoch by epoch.
///
/// Its shards are dealt out over all threads of all ranks: of `T` threads on `N` ranks each gets every `T × N`th. A thread
/// reads its shards one after the other, and the threads' batches come in turns, so that the order of samples is a function
/// of seed, epoch, and the numbers of threads and ranks; where shards differ in length, so do the ranks' shares. Build one with
/// [`StreamLoader::builder`] and have it shared out by
/// [`Context::prepare_stream_loader`](crate::worker::Context::prepare_stream_loader), or, for one process,
/// [`build`](StreamLoaderBuilder::build) it alone.
///
/// # State
///
/// As a part of a state it knows its exact place. With the same numbers of ranks and threads the stream goes on batch by
/// batch as if it had not been interrupted. With others, what is left of the epoch, down to the sample, is dealt out anew:
/// each sample still comes once, in another order. Where there are fewer shards than ranks, or the shards are other ones (in
/// number, or by another seed), it is refused.
///
/// ```no_run
/// use trainloop::data::{IterableDataset, StreamLoader};
/// use trainloop::prelude::*;
///
/// # fn train<D: IterableDataset>(ctx: &mut Context, texts: D) -> Result<()> {
/// let loader = StreamLoader::builder(texts).batch_size(32).shuffle_shards(17).workers(2);
/// let loader = ctx.prepare_stream_loader(loader)?;
/// for batch in loader.epoch(0)? {
///     let batch = batch?;
///     // …
/// }
/// # Ok(())
/// # }
/// ```
pub struct StreamLoader<D: IterableDataset> {
    dataset: D,
    division: Division,
    sizes: Sizes,
    workers: usize,
    prefetch: usize,
    finish: Finish<D::Batch>,
    ranks: Ranks,
    weight: LossWeight,
    position: Rc<RefCell<StreamPosition>>,
    /// Where the next epoch begins, after a restore.
    resume: RefCell<Option<StreamPosition>>,
}

impl<D: IterableDataset> StreamLoader<D> {
    /// A loader of `dataset`: batches of 1, shards in order, one thread.
    pub fn builder(dataset: D) -> StreamLoaderBuilder<D> {
        StreamLoaderBuilder {
            dataset,
            batch_size: 1,
            seed: None,
            drop_last: false,
            workers: 1,
            prefetch: 2,
            finish: Ok,
        }
    }

    /// The dataset.
    pub fn dataset(&self) -> &D {
        &self.dataset
    }

    pub(crate) fn position(&self) -> StreamPosition {
        // A place that was restored and not yet gone on from is still the place.
        self.resume.borrow().clone().unwrap_or_else(|| self.position.borrow().clone())
    }

    /// Is this place one that a rank of this loader can go on from as it is?
    pub(crate) fn is_place(&self, position: &StreamPosition) -> bool {
        position.is_of(self.division)
    }

    /// The next `epoch` call for that place's epoch goes on from there: `ranks` is this rank's own place, or, where they were
    /// others, those of all that saved.
    pub(crate) fn resume_at(&mut self, mut ranks: Vec<StreamPosition>) -> Result<()> {
        for position in &ranks {
            position.check(self.division)?;
        }
        let position = match ranks.as_slice() {
            [own] if self.is_place(own) => ranks.swap_remove(0),
            _ => StreamPosition::redivided(&ranks, self.division)?,
        };
        self.resume.replace(Some(position));
        Ok(())
    }

    /// The batches of epoch `epoch`, from its beginning; after a restore, from where that epoch was left. The iterator owns
    /// what it needs: the loader, and a state that holds it, can be lent while it runs. A batch that it has given counts as
    /// consumed. Collective: every rank iterates.
    ///
    /// # Errors
    /// Where a thread cannot be started; those of a callback on `epoch_start`.
    pub fn epoch(&self, epoch: u64) -> Result<StreamEpoch<D>> {
        // A place is good for one epoch, once.
        let resumed = self.resume.take().filter(|position| position.epoch == epoch);
        self.position.replace(resumed.unwrap_or_else(|| self.division.begin(epoch)));
        // How many batches there are shows at the end.
        let info = EpochInfo { epoch, batches: 0 };
        let hooks = match self.weight.hooks() {
            Some(hooks) if hooks.begin_epoch(info)? => Some(Rc::clone(hooks)),
            _ => None,
        };
        StreamEpoch::start(
            (&self.dataset, self.finish),
            (self.sizes, self.workers, self.prefetch),
            self.ranks.clone(),
            (self.weight.clone(), hooks),
            Rc::clone(&self.position),
        )
    }
}

/// How a [`StreamLoader`] is to be.
pub struct StreamLoaderBuilder<D: IterableDataset> {
    dataset: D,
    batch_size: usize,
    seed: Option<u64>,
    drop_last: bool,
    workers: usize,
    prefetch: usize,
    finish: Finish<D::Batch>,
}

impl<D: IterableDataset> StreamLoaderBuilder<D> {
    /// Samples in a batch of one rank.
    #[must_use]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Shuffles the shards anew for each epoch, as a function of this seed and the epoch. Inside a shard the order is the
    /// dataset's.
    #[must_use]
    pub fn shuffle_shards(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Leaves out each thread's last batch where it is not full.
    #[must_use]
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.drop_last = drop_last;
        self
    }

    /// How many threads read ahead, each its own shards; with 0 the loop's own thread reads each batch when it is asked for.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// How many batches each thread may be ahead of the loop.
    #[must_use]
    pub fn prefetch(mut self, prefetch: usize) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Has the loader's threads copy each batch into page-locked memory, as
    /// [`DataLoaderBuilder::pin_memory`](crate::data::DataLoaderBuilder::pin_memory).
    #[must_use]
    pub fn pin_memory(mut self, pin_memory: bool) -> Self
    where
        D::Batch: MapTensors,
    {
        self.finish = pinning(pin_memory);
        self
    }

    /// A loader for this process alone.
    ///
    /// # Errors
    /// [`Error::Config`] for a batch size or a prefetch of 0, and for a dataset without shards.
    pub fn build(self) -> Result<StreamLoader<D>> {
        let alone = Ranks { rank: 0, world_size: 1, group: None, device: Device::Cpu };
        self.for_ranks(alone, LossWeight::default())
    }

    pub(crate) fn for_ranks(self, ranks: Ranks, weight: LossWeight) -> Result<StreamLoader<D>> {
        if self.batch_size == 0 {
            return Err(Error::config("a batch of 0 samples trains nothing; give `batch_size` at least 1"));
        }
        if self.prefetch == 0 {
            return Err(Error::config(
                "a prefetch of 0 batches leaves the loader's threads nothing to do; give at least 1, or `workers(0)`",
            ));
        }
        let shards = self.dataset.shards();
        if shards < ranks.world_size {
            return Err(Error::config(format!(
                "{shards} shards cannot be dealt out over {} ranks; make at least as many shards as there are ranks",
                ranks.world_size
            )));
        }
        let division = Division { shards, seed: self.seed, world_size: ranks.world_size, lanes: self.workers.max(1) };
        Ok(StreamLoader {
            dataset: self.dataset,
            division,
            sizes: Sizes { batch: self.batch_size, drop_last: self.drop_last },
            workers: self.workers,
            prefetch: self.prefetch,
            finish: self.finish,
            ranks,
            weight,
            position: Rc::new(RefCell::new(division.begin(0))),
            resume: RefCell::default(),
        })
    }
}

// By hand: a derive would ask for batches that can be cloned and shown, as tensors cannot.
impl<D: IterableDataset> Clone for StreamLoaderBuilder<D> {
    fn clone(&self) -> Self {
        Self {
            dataset: self.dataset.clone(),
            batch_size: self.batch_size,
            seed: self.seed,
            drop_last: self.drop_last,
            workers: self.workers,
            prefetch: self.prefetch,
            finish: self.finish,
        }
    }
}

impl<D: IterableDataset + std::fmt::Debug> std::fmt::Debug for StreamLoaderBuilder<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamLoaderBuilder")
            .field("dataset", &self.dataset)
            .field("batch_size", &self.batch_size)
            .field("seed", &self.seed)
            .field("drop_last", &self.drop_last)
            .field("workers", &self.workers)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

impl<D: IterableDataset> std::fmt::Debug for StreamLoader<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamLoader")
            .field("division", &self.division)
            .field("sizes", &self.sizes)
            .field("position", &self.position.borrow())
            .finish_non_exhaustive()
    }
}
