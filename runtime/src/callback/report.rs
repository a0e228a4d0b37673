//! What the event `report` lends.

use std::ops::Deref;

/// A report that is being made, before it is sent: a callback on `report` may change its metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Report<M> {
    metrics: M,
    index: u64,
    rank: usize,
    is_checkpoint: bool,
}

impl<M> Report<M> {
    pub(crate) fn new(metrics: M, index: u64, rank: usize, is_checkpoint: bool) -> Self {
        Self { metrics, index, rank, is_checkpoint }
    }

    /// What the rank reports.
    #[must_use]
    pub fn metrics(&self) -> &M {
        &self.metrics
    }

    /// What the rank reports, to be changed: so it is sent, kept in `reports.jsonl` and reduced.
    pub fn metrics_mut(&mut self) -> &mut M {
        &mut self.metrics
    }

    /// The report's number on this rank, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Who reports.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// True where a checkpoint comes with it.
    #[must_use]
    pub fn is_checkpoint(&self) -> bool {
        self.is_checkpoint
    }
}

/// The run's metrics: those of all ranks, every field reduced as its attribute says. It is used like the `M` in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduced<M>(M);

impl<M> Reduced<M> {
    pub(crate) fn new(metrics: M) -> Self {
        Self(metrics)
    }

    /// The metrics.
    #[must_use]
    pub fn into_inner(self) -> M {
        self.0
    }
}

impl<M> Deref for Reduced<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.0
    }
}
