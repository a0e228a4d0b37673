//! What an accelerator knows of the ranks, and does with them: the context's, by Accelerate's names.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::Device;

use super::accelerator::Accelerator;
use crate::c10d::ReduceOp;
use crate::data::Batch;
use crate::error::Result;
#[cfg(doc)]
use crate::worker::Context;
use crate::worker::{Padding, RankZero, Tensors};

impl<M> Accelerator<'_, M> {
    /// [`Context::gather`].
    ///
    /// # Errors
    /// As there.
    pub fn gather<T: Tensors>(&self, tensors: T) -> Result<T::Owned> {
        self.ctx.gather(tensors)
    }

    /// [`Context::gather_for_metrics`].
    ///
    /// # Errors
    /// As there.
    pub fn gather_for_metrics<B, T: Tensors>(&self, batch: &Batch<B>, tensors: T) -> Result<T::Owned> {
        self.ctx.gather_for_metrics(batch, tensors)
    }

    /// [`Context::reduce`].
    ///
    /// # Errors
    /// As there.
    pub fn reduce<T: Tensors>(&self, tensors: T, op: ReduceOp) -> Result<T::Owned> {
        self.ctx.reduce(tensors, op)
    }

    /// [`Context::pad_across_ranks`].
    ///
    /// # Errors
    /// As there.
    pub fn pad_across_processes<T: Tensors>(&self, tensors: T, padding: Padding) -> Result<T::Owned> {
        self.ctx.pad_across_ranks(tensors, padding)
    }

    /// [`Context::gather_object`].
    ///
    /// # Errors
    /// As there.
    pub fn gather_object<T: Serialize + DeserializeOwned>(&self, value: T) -> Result<Vec<T>> {
        self.ctx.gather_object(value)
    }

    /// Hands values to the run's trackers: [`Context::log_at`], or, without a step, [`Context::log`]. The trackers themselves
    /// are the run's, [`RunConfig::tracker`](crate::trainer::RunConfig::tracker).
    ///
    /// # Errors
    /// As there.
    pub fn log(&self, values: &impl Serialize, step: Option<u64>) -> Result<()> {
        match step {
            Some(step) => self.ctx.log_at(step, values),
            None => self.ctx.log(values),
        }
    }

    /// [`Context::split_between_ranks`].
    #[must_use]
    pub fn split_between_processes<'l, T>(&self, list: &'l [T]) -> &'l [T] {
        self.ctx.split_between_ranks(list)
    }

    /// [`Context::split_between_ranks_padded`]: `apply_padding=True`.
    #[must_use]
    pub fn split_between_processes_padded<T: Clone>(&self, list: &[T]) -> Vec<T> {
        self.ctx.split_between_ranks_padded(list)
    }

    /// [`Context::main_rank_first`].
    ///
    /// # Errors
    /// As there.
    pub fn main_process_first<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        self.ctx.main_rank_first(run)
    }

    /// [`Context::on_rank_zero`].
    pub fn on_main_process<T>(&mut self, run: impl FnOnce(&RankZero<'_>) -> T) -> Option<T> {
        self.ctx.on_rank_zero(run)
    }

    /// [`Context::barrier`].
    ///
    /// # Errors
    /// As there.
    pub fn wait_for_everyone(&self) -> Result<()> {
        self.ctx.barrier()
    }

    /// [`Context::set_trigger`].
    pub fn set_trigger(&self) {
        self.ctx.set_trigger();
    }

    /// [`Context::check_trigger`].
    ///
    /// # Errors
    /// As there.
    pub fn check_trigger(&self) -> Result<bool> {
        self.ctx.check_trigger()
    }

    /// Prints a line, on rank 0 alone.
    pub fn print(&self, line: impl Display) {
        if self.is_main_process() {
            println!("{line}");
        }
    }

    /// Where this rank's tensors belong.
    #[must_use]
    pub fn device(&self) -> Device {
        self.ctx.device()
    }

    /// How many ranks there are.
    #[must_use]
    pub fn num_processes(&self) -> usize {
        self.ctx.world_size()
    }

    /// This rank.
    #[must_use]
    pub fn process_index(&self) -> usize {
        self.ctx.rank()
    }

    /// This rank's number on its machine.
    #[must_use]
    pub fn local_process_index(&self) -> usize {
        self.ctx.local_rank()
    }

    /// True on rank 0.
    #[must_use]
    pub fn is_main_process(&self) -> bool {
        self.ctx.rank() == 0
    }

    /// True on the first rank of each machine.
    #[must_use]
    pub fn is_local_main_process(&self) -> bool {
        self.ctx.local_rank() == 0
    }

    /// True on the last rank.
    #[must_use]
    pub fn is_last_process(&self) -> bool {
        self.ctx.rank() + 1 == self.ctx.world_size()
    }
}
