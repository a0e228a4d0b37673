//! What a train loop gets: its place in the group, and the calls that a run is made of.

mod gathering;
mod logging;
mod saving;
mod together;

use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tch::Device;
use tch::nn::{Path, VarStore};

use super::activity::{self, Collective};
use super::agreement::Agreement;
use super::collective::AllReduce;
use super::hooks::Hooks;
use super::saver::Saver;
use super::seat::{Seat, SeatParts};
use super::source::CheckpointSource;
use super::step_times::{Phase, StepTimes};
use crate::c10d::{ProcessGroup, ReduceOp};
use crate::callback::{Event, Report};
use crate::data::{
    DataLoader, DataLoaderBuilder, Dataset, IterableDataset, StreamLoader, StreamLoaderBuilder, StreamRanks,
};
use crate::error::{BoxError, Result};
use crate::log;
use crate::metric::Metrics;
use crate::nn::Replicas;
use crate::optim::{LossWeight, Optimizer, Rule};
use crate::strategy::{Model, ModelOptions};

pub use gathering::Padding;

/// The eye does not want more.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// A train loop's place in its run. `M` is what it [reports](Self::report).
pub struct Context<M = ()> {
    parts: SeatParts,
    weight: LossWeight,
    reports: u64,
    /// Shared with the checkpoint that the run begins from, whose restore sets it.
    steps: Rc<Cell<u64>>,
    next_checkpoint: u64,
    agreement: Agreement,
    last_save: Instant,
    saver: Saver,
    /// An asynchronous checkpoint's answer said so.
    stop_at_next: bool,
    can_stop: bool,
    /// The ranks have agreed that the loop is to end itself.
    should_stop: bool,
    /// This rank has set it since the last check.
    trigger: Cell<bool>,
    hooks: Rc<Hooks>,
    metrics: PhantomData<fn(M)>,
}

impl<M> Context<M> {
    pub(crate) fn new(seat: Seat) -> Self {
        let parts = seat.parts;
        let steps = Rc::default();
        let hooks = Rc::new(Hooks::new(&parts, Rc::clone(&steps)));
        Self {
            weight: LossWeight::with_hooks(Rc::clone(&hooks), Rc::clone(&parts.stopwatch)),
            reports: parts.reports,
            steps,
            next_checkpoint: parts.next_checkpoint,
            agreement: Agreement::default(),
            last_save: Instant::now(),
            saver: Saver::new(Rc::clone(&parts.link), parts.checkpoints.clone(), parts.rank, parts.when_busy),
            stop_at_next: false,
            can_stop: false,
            should_stop: false,
            trigger: Cell::default(),
            hooks,
            metrics: PhantomData,
            parts,
        }
    }

    /// This worker's number in the group, from 0.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.parts.rank
    }

    /// This worker's number on its machine, from 0.
    #[must_use]
    pub fn local_rank(&self) -> usize {
        self.parts.local_rank
    }

    /// How many workers the group has; 1 with `workers(0)`.
    #[must_use]
    pub fn world_size(&self) -> usize {
        self.parts.world_size
    }

    /// Where this worker's tensors belong: its GPU, or the CPU.
    #[must_use]
    pub fn device(&self) -> Device {
        self.parts.device
    }

    /// The run's name.
    #[must_use]
    pub fn run_name(&self) -> &str {
        &self.parts.run_name
    }

    /// The group of all ranks, for collectives of one's own; `None` for a single worker.
    #[must_use]
    pub fn process_group(&self) -> Option<&ProcessGroup> {
        self.parts.group.as_deref()
    }

    /// The ranks that train together, for layers that look at the whole global batch, such as
    /// [`SyncBatchNorm`](crate::nn::SyncBatchNorm).
    #[must_use]
    pub fn replicas(&self) -> Replicas {
        Replicas::new(self.ddp_group().cloned(), self.weight.clone())
    }

    /// Builds a net on this worker's device and prepares it for the run's strategy: with `ddp`, every rank begins with
    /// rank 0's parameters, and a backward pass averages gradients over the ranks. Collective: every rank calls it.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// let model = ctx.prepare_model(|path| tch::nn::linear(path, 64, 10, Default::default()))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where a net has no trainable parameter, or ranks build different ones; the errors of a broadcast.
    pub fn prepare_model<N>(&self, build: impl FnOnce(&Path<'_>) -> N) -> Result<Model<N>> {
        self.prepare_model_with(ModelOptions::default(), build)
    }

    /// [`prepare_model`](Self::prepare_model), with options: another dtype, the sizes of buckets, unused parameters.
    ///
    /// # Errors
    /// As [`prepare_model`](Self::prepare_model).
    pub fn prepare_model_with<N>(&self, options: ModelOptions, build: impl FnOnce(&Path<'_>) -> N) -> Result<Model<N>> {
        log::settle();
        let group = self.ddp_group();
        activity::within(Collective::PrepareModel, || {
            Model::prepare(self.parts.device, group, self.weight.clone(), options, build)
        })
    }

    /// [`prepare_model`](Self::prepare_model) of a net that is built already, with the store of its variables, which keep their
    /// dtypes: [`ModelOptions::kind`] is not looked at. Where they lie on another device they are moved.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # use tch::nn;
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// let vars = nn::VarStore::new(ctx.device());
    /// let net = nn::linear(vars.root(), 64, 10, Default::default());
    /// let mut optimizer = ctx.prepare_optimizer(AdamW::builder(1e-3).build(&vars)?);
    /// let model = ctx.prepare_built_model((vars, net), ModelOptions::default())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`prepare_model`](Self::prepare_model).
    pub fn prepare_built_model<N>(&self, built: (VarStore, N), options: ModelOptions) -> Result<Model<N>> {
        let group = self.ddp_group();
        activity::within(Collective::PrepareModel, || {
            Model::prepare_built(self.parts.device, group, self.weight.clone(), options, built)
        })
    }

    /// An optimizer that was built from a [`VarStore`] or a list of tensors learns of the loaders' weights and of the other
    /// ranks. One that was built from a prepared [`Model`] knows of them.
    #[must_use]
    pub fn prepare_optimizer<R: Rule>(&self, mut optimizer: Optimizer<R>) -> Optimizer<R> {
        optimizer.join_ranks(self.weight.clone(), self.ddp_group().cloned());
        optimizer
    }

    /// The ranks that have a replica of each model.
    fn ddp_group(&self) -> Option<&Rc<ProcessGroup>> {
        self.parts.group.as_ref().filter(|_| self.parts.ddp)
    }

    pub(crate) fn loss_weight(&self) -> &LossWeight {
        &self.weight
    }

    /// Shares a loader out over the ranks: each gets its part of every global batch of `batch_size` × world size samples,
    /// and all take the same number of steps. An uneven last batch is divided, and each rank's loss weighted by its share
    /// when the optimizer's `backward` runs, so that N ranks give what one process gives with the N-fold batch.
    ///
    /// The weight is that of the batch handed out last by any prepared loader.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a batch size, a window or a prefetch of 0.
    pub fn prepare_data_loader<D: Dataset>(&self, builder: DataLoaderBuilder<D>) -> Result<DataLoader<D>> {
        log::settle();
        builder.for_rank(self.rank(), self.world_size(), self.weight.clone(), self.on_progress())
    }

    /// Shares a stream out over the ranks: each reads its own shards, and all take the same number of steps, for which they
    /// ask each other before each batch. A rank's loss is weighted by its share of the batch's samples when the optimizer's
    /// `backward` runs.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a batch size or a prefetch of 0, and for fewer shards than ranks.
    pub fn prepare_stream_loader<D: IterableDataset>(
        &self,
        builder: StreamLoaderBuilder<D>,
    ) -> Result<StreamLoader<D>> {
        let group = self.parts.group.clone();
        let ranks = StreamRanks { rank: self.rank(), world_size: self.world_size(), group, device: self.parts.device };
        builder.for_ranks(ranks, self.weight.clone())
    }

    /// Rank 0 speaks for all.
    fn on_progress(&self) -> Option<Rc<dyn Fn(u64, u64)>> {
        if self.rank() != 0 {
            return None;
        }
        let link = Rc::clone(&self.parts.link);
        let last = Cell::new(None::<Instant>);
        Some(Rc::new(move |done, total| {
            let now = Instant::now();
            let due = last.get().is_none_or(|last| now.duration_since(last) >= PROGRESS_INTERVAL);
            if due || done == total {
                last.set(Some(now));
                link.progress(done, total);
            }
        }))
    }

    /// How many reports this rank has made.
    #[must_use]
    pub fn reports(&self) -> u64 {
        self.reports
    }

    /// What this rank's steps have taken their time for, since its loop began: waiting for data, forward, backward,
    /// communication, the optimizer. Rank 0's are in the [`Outcome`](crate::trainer::Outcome).
    #[must_use]
    pub fn step_times(&self) -> StepTimes {
        self.parts.stopwatch.times()
    }

    /// Waits until every rank has come here.
    ///
    /// # Errors
    /// Where a rank does not come within the collective timeout, or has gone.
    pub fn barrier(&self) -> Result<()> {
        log::settle();
        self.collective(Collective::Barrier, |group| Ok(group.map_or(Ok(()), ProcessGroup::barrier)?))
    }

    /// Takes part in a collective of the library's own.
    fn collective<T>(&self, which: Collective, run: impl FnOnce(Option<&ProcessGroup>) -> Result<T>) -> Result<T> {
        if self.process_group().is_some() {
            self.weight.refuse_in_join(which)?;
        }
        self.weight.time(Phase::Communication, || activity::within(which, || run(self.process_group())))
    }

    /// The combination of all ranks' values: a tensor, an `f64`, an `i64`, or an array of them. Collective.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// # let (right, samples) = (9.0, 10.0);
    /// let [right, samples] = ctx.all_reduce([right, samples], ReduceOp::Sum)?;
    /// let accuracy = right / samples;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where a rank does not come within the collective timeout, or has gone, or the mean of whole numbers is asked for.
    pub fn all_reduce<T: AllReduce>(&self, value: T, op: ReduceOp) -> Result<T> {
        log::settle();
        self.collective(Collective::AllReduce, |group| value.all_reduce(group, op, self.parts.device))
    }

    /// Runs a validation, without gradients: loaders and losses inside are not the training's, so that the events of epochs
    /// and steps do not fire, and those of `validation_start` and `validation_end` do. Collective where the closure is.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train<D: Dataset<Batch = (tch::Tensor, tch::Tensor)>>(
    /// #     ctx: &mut Context, held_out: DataLoader<D>, model: Model<tch::nn::Linear>,
    /// # ) -> Result<()> {
    /// let accuracy = ctx.validate(|ctx| {
    ///     let (mut right, mut samples) = (0.0, 0.0);
    ///     for batch in held_out.epoch(0)? {
    ///         let batch = batch?;
    ///         let (inputs, labels) = &*batch;
    ///         let outputs = model.call(|net| inputs.apply(net))?;
    ///         right += outputs.argmax(-1, false).eq_tensor(labels).sum(None).double_value(&[]);
    ///         samples += labels.size()[0] as f64;
    ///     }
    ///     let [right, samples] = ctx.all_reduce([right, samples], ReduceOp::Sum)?;
    ///     Ok(right / samples)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The closure's, and those of a callback.
    pub fn validate<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        log::settle();
        let hooks = Rc::clone(&self.hooks);
        hooks.validate(|| tch::no_grad(|| run(self)))
    }

    /// Runs the loop's body between its first event and its last.
    pub(crate) fn run<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T, BoxError>) -> Result<T, BoxError> {
        self.hooks.fire(Event::TrainStart)?;
        let output = body(self)?;
        self.finish()?;
        self.hooks.fire(Event::TrainEnd)?;
        Ok(output)
    }

    /// Runs a closure on rank 0 alone, with a view that can look but not take part: a report or a collective inside would
    /// be one that the other ranks never make, so the borrow checker refuses it.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// ctx.on_rank_zero(|view| println!("{} workers train {}", view.world_size(), view.run_name()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// ```compile_fail
    /// # use trainloop::prelude::*;
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// ctx.on_rank_zero(|_| ctx.report(()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_rank_zero<T>(&mut self, run: impl FnOnce(&RankZero<'_>) -> T) -> Option<T> {
        (self.rank() == 0).then(|| run(&RankZero { parts: &self.parts, reports: self.reports }))
    }
}

impl<M: Metrics> Context<M> {
    /// The metrics of the next report as the callbacks leave them, encoded.
    fn encode_report(&self, metrics: M, is_checkpoint: bool) -> Result<Vec<u8>> {
        log::settle();
        let mut report = Report::new(metrics, self.reports, self.parts.rank, is_checkpoint);
        self.hooks.report(&mut report)?;
        let bytes = report.metrics().encode("write the metrics of a report")?;
        self.hooks.log(self.now(), Some(self.reports), &bytes)?;
        Ok(bytes)
    }

    /// Reports metrics to the driver. Does not wait for other ranks: reports are numbered on each rank, and the driver
    /// reduces the *n*-th ones of all ranks when the last of them has come. Every rank's are kept in the run's
    /// `reports.jsonl`.
    ///
    /// # Errors
    /// Where a callback on `report` fails, the metrics cannot be serialised, or the driver has gone.
    pub fn report(&mut self, metrics: M) -> Result<()> {
        self.poll_save()?;
        let bytes = self.encode_report(metrics, false)?;
        self.parts.link.report(self.reports, self.steps.get(), bytes)?;
        self.reports += 1;
        Ok(())
    }

    /// Reports metrics together with a checkpoint: of a state, `ctx.report_with(metrics, &state)`, or of
    /// [`Files`](super::Files) of one's own, `ctx.report_with(metrics, &Files::of(directory))`. Collective: every rank calls
    /// it for the same reports, and it returns when the checkpoint is committed, which is when it exists; killed before, the
    /// run has the one before. It returns sooner where checkpoints are
    /// [asynchronous](crate::trainer::CheckpointConfig::asynchronous).
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) where a rank could not write its part, two ranks gave a file of one
    /// name, or the disk is full: older checkpoints are whole. [`Error::Stopped`](crate::Error::Stopped) where the run is to
    /// stop.
    pub fn report_with<S: CheckpointSource + ?Sized>(&mut self, metrics: M, source: &S) -> Result<()> {
        let bytes = self.encode_report(metrics, true)?;
        self.announce_stops()?;
        self.save(Some(bytes), source, false)
    }
}

impl<M> std::fmt::Debug for Context<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("rank", &self.parts.rank)
            .field("world_size", &self.parts.world_size)
            .field("device", &self.parts.device)
            .field("reports", &self.reports)
            .finish_non_exhaustive()
    }
}

/// What [`Context::on_rank_zero`] lends: it looks, and takes part in nothing.
pub struct RankZero<'a> {
    parts: &'a SeatParts,
    reports: u64,
}

impl RankZero<'_> {
    /// How many workers the group has.
    #[must_use]
    pub fn world_size(&self) -> usize {
        self.parts.world_size
    }

    /// Where rank 0's tensors belong.
    #[must_use]
    pub fn device(&self) -> Device {
        self.parts.device
    }

    /// The run's name.
    #[must_use]
    pub fn run_name(&self) -> &str {
        &self.parts.run_name
    }

    /// How many reports rank 0 has made.
    #[must_use]
    pub fn reports(&self) -> u64 {
        self.reports
    }
}

impl std::fmt::Debug for RankZero<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RankZero").field("run_name", &self.parts.run_name).finish_non_exhaustive()
    }
}
