//! Batches of a dataset, read ahead by threads.

use std::cell::Cell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::dataset::{Dataset, Finish};
use super::epoch::{Epoch, Told};
use super::map_tensors::{MapTensors, pinning};
use super::order::{Fingerprint, Order};
use super::plan::{Plan, Sizes, Window};
use super::sampler::{DistributedSampler, Tail};
use crate::callback::EpochInfo;
use crate::error::{Error, Result};
use crate::optim::LossWeight;

/// Where an epoch tells how far it is: batches done, batches in all.
pub(crate) type OnProgress = Rc<dyn Fn(u64, u64)>;

/// Gives a dataset's batches, epoch by epoch, in an order that is a function of seed and epoch alone.
///
/// Build one with [`DataLoader::builder`] and have it shared out over the ranks by
/// [`Context::prepare_data_loader`](crate::worker::Context::prepare_data_loader), or, for one process,
/// [`build`](DataLoaderBuilder::build) it alone.
pub struct DataLoader<D: Dataset> {
    dataset: D,
    sampler: DistributedSampler,
    sizes: Sizes,
    workers: usize,
    prefetch: usize,
    finish: Finish<D::Batch>,
    weight: LossWeight,
    on_progress: Option<OnProgress>,
    position: Rc<Cell<Position>>,
    /// Where the next epoch begins, after a restore.
    resume: Cell<Option<Position>>,
}

/// How far a loader has come: all ranks together have been handed the first `samples` places of `epoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) epoch: u64,
    pub(super) samples: usize,
    /// The window of accumulation that it is inside of.
    #[serde(default)]
    pub(super) window: Option<Window>,
}

/// A loader's place, with what makes it mean something.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SavedPosition {
    position: Position,
    order: Fingerprint,
}

impl<D: Dataset> DataLoader<D> {
    /// A loader of `dataset`: batches of 1, in order, one thread.
    pub fn builder(dataset: D) -> DataLoaderBuilder<D> {
        DataLoaderBuilder {
            dataset,
            batch_size: 1,
            order: Order::Sequential,
            tail: Tail::Exact,
            drop_last: false,
            window: 1,
            workers: 1,
            prefetch: 2,
            finish: Ok,
        }
    }

    /// The dataset.
    pub fn dataset(&self) -> &D {
        &self.dataset
    }

    /// How many batches an epoch has: the same on all ranks.
    #[must_use]
    pub fn batches(&self) -> u64 {
        let global = self.sizes.batch * self.sampler.world_size();
        let total = self.sampler.total();
        (if self.sizes.drop_last { total / global } else { total.div_ceil(global) }) as u64
    }

    /// How many windows of [accumulation](DataLoaderBuilder::accumulate) an epoch has, which is how many steps an optimizer
    /// makes in it; without accumulation, the number of batches.
    #[must_use]
    pub fn windows(&self) -> u64 {
        self.batches().div_ceil(self.sizes.window as u64)
    }

    pub(crate) fn position(&self) -> SavedPosition {
        // A place that was restored and not yet gone on from is still the place.
        let position = self.resume.get().unwrap_or_else(|| self.position.get());
        SavedPosition { position, order: self.sampler.fingerprint() }
    }

    /// The next `epoch` call for that place's epoch goes on from there.
    pub(crate) fn resume_at(&self, saved: SavedPosition) -> Result<()> {
        let order = self.sampler.fingerprint();
        if saved.order != order {
            return Err(Error::checkpoint(format!(
                "the place inside the epoch belongs to {} and this loader has {}, so it would mean other samples",
                saved.order, order
            )));
        }
        self.resume.set(Some(saved.position));
        Ok(())
    }

    /// The batches of epoch `epoch`, from its beginning; after a restore, from where that epoch was left. The iterator owns what
    /// it needs: the loader, and a state that holds it, can be lent while it runs. A batch that it has given counts as
    /// consumed.
    ///
    /// # Errors
    /// Where libtorch cannot make the permutation, or a thread cannot be started; those of a callback on `epoch_start`.
    pub fn epoch(&self, epoch: u64) -> Result<Epoch<D>> {
        // A place is good for one epoch, once: a loop that goes on with another begins that one from its beginning.
        let resumed = self.resume.take().filter(|position| position.epoch == epoch);
        self.epoch_from(resumed.unwrap_or(Position { epoch, ..Position::default() }))
    }

    /// The batches of epoch `epoch` without its first `batches`, which are not read. As Accelerate's `skip_first_batches`.
    ///
    /// A run that goes on from a checkpoint has no need of it: a loader that is part of the state goes on by itself, to the
    /// sample, also with another number of workers, and so where that checkpoint was made in an epoch begun here. This is for
    /// a place that is known from elsewhere. Where the loader [accumulates](DataLoaderBuilder::accumulate), windows are counted
    /// from the first batch that is given.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train<D: Dataset>(loader: &DataLoader<D>) -> Result<()> {
    /// for batch in loader.skip_first_batches(0, 100)? {
    ///     let batch = batch?; // its `index()` is 100
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] where the epoch has fewer batches, or the loader was restored to a place inside this epoch: then
    /// [`epoch`](Self::epoch) goes on from there; those of `epoch`.
    pub fn skip_first_batches(&self, epoch: u64, batches: u64) -> Result<Epoch<D>> {
        if batches > self.batches() {
            return Err(Error::config(format!(
                "{batches} batches cannot be skipped: an epoch has {} of them",
                self.batches()
            )));
        }
        if let Some(position) = self.resume.get().filter(|position| position.epoch == epoch && position.samples > 0) {
            return Err(Error::config(format!(
                "the loader was restored to where {} samples of epoch {epoch} were seen, and goes on from there by itself; call \
                 `epoch({epoch})`, or leave the loader out of the state",
                position.samples
            )));
        }
        self.resume.set(None);
        let global = self.sizes.batch * self.sampler.world_size();
        let samples = (batches as usize).saturating_mul(global).min(self.sampler.total());
        self.epoch_from(Position { epoch, samples, window: None })
    }

    fn epoch_from(&self, position: Position) -> Result<Epoch<D>> {
        let Position { epoch, samples, window } = position;
        self.position.set(position);
        let info = EpochInfo { epoch, batches: self.batches() };
        let hooks = match self.weight.hooks() {
            Some(hooks) if hooks.begin_epoch(info)? => Some(Rc::clone(hooks)),
            _ => None,
        };
        let plan = Plan::new(self.sampler.clone(), self.sizes, epoch, (samples, window))?;
        Epoch::start(
            (self.dataset.clone(), self.finish),
            plan,
            self.workers,
            self.prefetch,
            self.weight.clone(),
            Told { on_progress: self.on_progress.clone(), hooks },
            Rc::clone(&self.position),
        )
    }
}

/// How a [`DataLoader`] is to be.
pub struct DataLoaderBuilder<D: Dataset> {
    dataset: D,
    batch_size: usize,
    order: Order,
    tail: Tail,
    drop_last: bool,
    window: usize,
    workers: usize,
    prefetch: usize,
    finish: Finish<D::Batch>,
}

impl<D: Dataset> DataLoaderBuilder<D> {
    /// The batch size is that of all ranks together.
    pub(crate) fn split_batch(mut self, ranks: usize) -> Result<Self> {
        if !self.batch_size.is_multiple_of(ranks) {
            return Err(Error::config(format!(
                "a batch of {} samples cannot be split over {ranks} ranks; make it a multiple of {ranks}, or leave out \
                 `split_batches`",
                self.batch_size
            )));
        }
        self.batch_size /= ranks;
        Ok(self)
    }

    /// Samples in a batch of one rank.
    #[must_use]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Shuffles anew for each epoch, as a function of this seed and the epoch.
    #[must_use]
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.order = Order::Shuffled { seed };
        self
    }

    /// Another order than that of the dataset: a [`WeightedSampler`](super::WeightedSampler), a
    /// [`BucketSampler`](super::BucketSampler).
    #[must_use]
    pub fn order(mut self, order: impl Into<Order>) -> Self {
        self.order = order.into();
        self
    }

    /// What becomes of samples that do not divide evenly over the ranks; by default every sample is seen once.
    #[must_use]
    pub fn tail(mut self, tail: Tail) -> Self {
        self.tail = tail;
        self
    }

    /// Leaves out the last global batch where it is not full.
    #[must_use]
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.drop_last = drop_last;
        self
    }

    /// Gradients of so many batches make one step: batches of B on N ranks count as one of B × N × `batches`.
    ///
    /// Such a run of batches is a window. [`backward_step`](crate::optim::Optimizer::backward_step) clears the gradients at
    /// its beginning and steps at its end ([`Batch::ends_window`](super::Batch::ends_window), where a schedule steps too);
    /// between them, gradients stay on their ranks and add up. Each loss is weighted by its share of the window's samples, so
    /// that a window that is short, at an epoch's end, is a mean over the samples that it has. A checkpoint made inside a
    /// window holds its gradients.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train<D: Dataset<Batch = (tch::Tensor, tch::Tensor)>>(
    /// #     ctx: &mut Context, digits: D, model: Model<tch::nn::Linear>, mut optimizer: Sgd, mut schedule: Scheduler<CosineLr>,
    /// # ) -> Result<()> {
    /// let loader = ctx.prepare_data_loader(DataLoader::builder(digits).batch_size(8).accumulate(4))?;
    /// for batch in loader.epoch(0)? {
    ///     let batch = batch?;
    ///     let (inputs, labels) = &*batch;
    ///     let loss = model.call(|net| inputs.apply(net))?.cross_entropy_for_logits(labels);
    ///     optimizer.backward_step(&loss)?;
    ///     if batch.ends_window() {
    ///         schedule.step(&mut optimizer)?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.window = batches;
        self
    }

    /// How many threads read ahead; with 0 the loop's own thread reads each batch when it is asked for.
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

    /// Has the loader's threads, with `workers(0)` the loop's own, copy each batch into page-locked memory, from which
    /// [`Batch::on_device`](super::Batch::on_device) copies to a GPU while the loop goes on: PyTorch's `pin_memory=True`. Off
    /// unless said otherwise; on a machine without a GPU it does nothing.
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
    /// [`Error::Config`] for a batch size, a window or a prefetch of 0, and for an order of another number of samples.
    pub fn build(self) -> Result<DataLoader<D>> {
        self.for_rank(0, 1, LossWeight::default(), None)
    }

    pub(crate) fn for_rank(
        self,
        rank: usize,
        world_size: usize,
        weight: LossWeight,
        on_progress: Option<OnProgress>,
    ) -> Result<DataLoader<D>> {
        if self.batch_size == 0 {
            return Err(Error::config("a batch of 0 samples trains nothing; give `batch_size` at least 1"));
        }
        if self.window == 0 {
            return Err(Error::config(
                "a window of 0 batches never steps; give `accumulate` at least 1, which is a step for each batch",
            ));
        }
        if self.prefetch == 0 {
            return Err(Error::config(
                "a prefetch of 0 batches leaves the loader's threads nothing to do; give at least 1, or `workers(0)`",
            ));
        }
        let sampler =
            DistributedSampler::new(self.dataset.len(), rank, world_size)?.tail(self.tail).order(self.order)?;
        Ok(DataLoader {
            dataset: self.dataset,
            sampler,
            sizes: Sizes { batch: self.batch_size, window: self.window, drop_last: self.drop_last },
            workers: self.workers,
            prefetch: self.prefetch,
            finish: self.finish,
            weight,
            on_progress,
            position: Rc::default(),
            resume: Cell::default(),
        })
    }
}

// By hand: a derive would ask for batches that can be cloned and shown, as tensors cannot.
impl<D: Dataset> Clone for DataLoaderBuilder<D> {
    fn clone(&self) -> Self {
        Self {
            dataset: self.dataset.clone(),
            batch_size: self.batch_size,
            order: self.order.clone(),
            tail: self.tail,
            drop_last: self.drop_last,
            window: self.window,
            workers: self.workers,
            prefetch: self.prefetch,
            finish: self.finish,
        }
    }
}

impl<D: Dataset + std::fmt::Debug> std::fmt::Debug for DataLoaderBuilder<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataLoaderBuilder")
            .field("dataset", &self.dataset)
            .field("batch_size", &self.batch_size)
            .field("order", &self.order)
            .field("tail", &self.tail)
            .field("drop_last", &self.drop_last)
            .field("window", &self.window)
            .field("workers", &self.workers)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

impl<D: Dataset> std::fmt::Debug for DataLoader<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataLoader")
            .field("sampler", &self.sampler)
            .field("sizes", &self.sizes)
            .field("position", &self.position.get())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Batch;

    #[derive(Clone)]
    struct Indices;

    impl Dataset for Indices {
        type Sample = usize;
        type Batch = Vec<usize>;

        fn len(&self) -> usize {
            7
        }

        fn get(&self, index: usize) -> Result<usize> {
            Ok(index)
        }

        fn collate(&self, samples: Vec<usize>) -> Result<Vec<usize>> {
            Ok(samples)
        }
    }

    fn epoch(workers: usize, finish: Finish<Vec<usize>>) -> Result<Vec<Vec<usize>>> {
        let builder = DataLoaderBuilder { finish, ..DataLoader::builder(Indices).batch_size(3).workers(workers) };
        builder.build()?.epoch(0)?.map(|batch| batch.map(Batch::into_inner)).collect()
    }

    #[test]
    fn every_batch_is_finished_where_it_is_made() {
        let reversed = |mut batch: Vec<usize>| {
            batch.reverse();
            Ok(batch)
        };
        for workers in [0, 2] {
            assert_eq!(epoch(workers, reversed).unwrap(), [vec![2, 1, 0], vec![5, 4, 3], vec![6]]);
        }
    }

    /// As of a user's own `MapTensors`.
    #[test]
    fn a_panic_of_the_finish_is_the_loops_error() {
        for workers in [0, 1, 2] {
            let error = epoch(workers, |batch| panic!("a batch of {}", batch.len())).unwrap_err().to_string();
            assert!(error.contains("panicked while it made a batch of samples [0, 1, 2]: a batch of 3"), "{error}");
        }
    }

    /// Whatever the batches are.
    #[test]
    fn builders_can_be_cloned() {
        let builder = DataLoader::builder(Indices).batch_size(2);
        assert_eq!(builder.clone().build().unwrap().batches(), builder.build().unwrap().batches());
    }
}
