//! One rank's share of a global batch.

use std::ops::Deref;

use tch::Device;

use super::map_tensors::{MapTensors, on_device};
use crate::error::Result;
use crate::optim::Moment;

/// A batch as the loop gets it: the dataset's own batch (reached by `Deref`), with its place and weight.
#[derive(Debug, Clone)]
pub struct Batch<B> {
    data: B,
    share: Share,
}

/// How a rank's share stands to the global batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    pub(super) index: u64,
    pub(super) samples: usize,
    pub(super) weight: f64,
    pub(super) begins_window: bool,
    pub(super) ends_window: bool,
    /// `None` where each rank has its own, as many as come: those of a stream.
    pub(super) global: Option<GlobalBatch>,
}

/// What all ranks' shares of a batch are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GlobalBatch {
    /// Of the epoch: neither stand-ins nor what was repeated to pad it.
    pub(crate) samples: usize,
    pub(crate) ranks: usize,
    /// The rank that has the first of them; the next rank has the second.
    pub(crate) first_rank: usize,
    /// How many samples the longest share holds, padding included, and at least the stand-in.
    pub(crate) longest: usize,
}

impl Share {
    pub(super) fn moment(self) -> Moment {
        let Self { weight, begins_window, ends_window, .. } = self;
        Moment { weight, begins_window, ends_window }
    }
}

impl<B> Batch<B> {
    pub(super) fn new(data: B, share: Share) -> Self {
        Self { data, share }
    }

    /// Its number in the epoch, from 0; the same on all ranks.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.share.index
    }

    /// How many samples of the epoch this rank's share holds.
    ///
    /// It is 0 where the last global batch has fewer samples than there are ranks and this rank has none: the data is
    /// then a stand-in, so that every rank takes the same number of steps, and counts for nothing. Sum metrics over
    /// `samples()`, not over the length of the data.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.share.samples
    }

    /// What this rank's loss (a mean over its samples) is multiplied by, so that the mean over ranks, summed over the
    /// window, is the mean over the window: its samples × ranks ÷ samples of all ranks in the window. Without
    /// [accumulation](super::DataLoaderBuilder::accumulate) the window is the global batch, and the weight is 1 but in an
    /// uneven last one.
    ///
    /// The optimizers' `backward` applies it by itself.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.share.weight
    }

    /// True for the first batch of a window of [accumulation](super::DataLoaderBuilder::accumulate), where gradients begin
    /// anew; always true without it.
    #[must_use]
    pub fn begins_window(&self) -> bool {
        self.share.begins_window
    }

    /// True for the last batch of a window of [accumulation](super::DataLoaderBuilder::accumulate), after which the
    /// optimizer steps; always true without it.
    #[must_use]
    pub fn ends_window(&self) -> bool {
        self.share.ends_window
    }

    pub(crate) fn global(&self) -> Option<GlobalBatch> {
        self.share.global
    }

    /// The batch with its tensors on `device`; those that lie there already are not copied.
    ///
    /// From [pinned memory](super::DataLoaderBuilder::pin_memory) to a GPU the copy goes on while the loop does: operations on
    /// the GPU wait for it by themselves.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train<D: Dataset<Batch = (tch::Tensor, tch::Tensor)>>(ctx: &mut Context, loader: DataLoader<D>) -> Result<()> {
    /// for batch in loader.epoch(0)? {
    ///     let batch = batch?.on_device(ctx.device())?;
    ///     let (inputs, labels) = &*batch;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where there is no such device, or no memory left on it.
    pub fn on_device(self, device: Device) -> Result<Self>
    where
        B: MapTensors,
    {
        Ok(Self { data: on_device(self.data, device)?, share: self.share })
    }

    /// The dataset's own batch.
    pub fn into_inner(self) -> B {
        self.data
    }
}

impl<B> Deref for Batch<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.data
    }
}
