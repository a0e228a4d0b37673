//! Which rank sees which sample, in what order.

use super::order::{Fingerprint, Order};
use crate::error::{Error, Result};

/// What happens where the samples do not divide evenly over the ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tail {
    /// Every sample once; the shares of the last global batch may differ by one sample.
    #[default]
    Exact,
    /// Samples from the beginning are repeated until all ranks have as many: PyTorch's default.
    Pad,
    /// The samples left over are dropped: PyTorch's `drop_last`.
    Drop,
}

/// Divides the samples of an epoch over ranks. The order is a function of seed and epoch alone, and is that of
/// `torch.utils.data.DistributedSampler`: a permutation of a generator seeded `seed + epoch`, of which rank *r* of *w*
/// takes places *r*, *r + w*, *r + 2w*, ….
///
/// ```no_run
/// use trainloop::data::{DistributedSampler, Tail};
///
/// # fn main() -> trainloop::Result<()> {
/// let sampler = DistributedSampler::new(103, 3, 4)?.shuffle(17);
/// assert_eq!(sampler.indices(0)?.len(), 25); // the other ranks have 26
/// assert_eq!(sampler.tail(Tail::Pad).indices(0)?.len(), 26);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistributedSampler {
    samples: usize,
    rank: usize,
    world_size: usize,
    order: Order,
    tail: Tail,
}

impl DistributedSampler {
    /// The share of `rank` among `world_size`, in order, every sample once.
    ///
    /// # Errors
    /// [`Error::Config`] where `rank` is not below `world_size`.
    pub fn new(samples: usize, rank: usize, world_size: usize) -> Result<Self> {
        if rank >= world_size {
            return Err(Error::config(format!("rank {rank} is not among {world_size} ranks; they count from 0")));
        }
        Ok(Self { samples, rank, world_size, order: Order::Sequential, tail: Tail::Exact })
    }

    /// Shuffles anew for each epoch.
    #[must_use]
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.order = Order::Shuffled { seed };
        self
    }

    /// Another order than that of the dataset.
    ///
    /// # Errors
    /// [`Error::Config`] where it was made for another number of samples.
    pub fn order(mut self, order: impl Into<Order>) -> Result<Self> {
        self.order = order.into();
        self.order.check(self.samples)?;
        Ok(self)
    }

    /// What becomes of samples that do not divide evenly.
    #[must_use]
    pub fn tail(mut self, tail: Tail) -> Self {
        self.tail = tail;
        self
    }

    /// How many samples all ranks together see in an epoch.
    #[must_use]
    pub fn total(&self) -> usize {
        let places = self.order.places(self.samples);
        match self.tail {
            Tail::Exact => places,
            // There is nothing to repeat where there is nothing.
            Tail::Pad if places == 0 => 0,
            Tail::Pad => places.div_ceil(self.world_size) * self.world_size,
            Tail::Drop => places / self.world_size * self.world_size,
        }
    }

    /// How many samples `rank` sees among the first `total` places.
    pub(super) fn share(&self, total: usize) -> usize {
        (total + self.world_size - 1 - self.rank) / self.world_size
    }

    /// Which place is this rank's `nth`.
    pub(super) fn place(&self, nth: usize) -> usize {
        self.rank + nth * self.world_size
    }

    /// How many samples the dataset has.
    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    pub(super) fn world_size(&self) -> usize {
        self.world_size
    }

    /// This rank's samples of an epoch, in their order.
    ///
    /// # Errors
    /// Where libtorch cannot make the permutation.
    pub fn indices(&self, epoch: u64) -> Result<Vec<usize>> {
        Ok(self.rest(epoch, 0)?.0)
    }

    /// This rank's part of what is left of an epoch after its first `begin` samples, whoever has seen those; and a sample that
    /// any rank may use as a stand-in, the first of the epoch.
    pub(super) fn rest(&self, epoch: u64, begin: usize) -> Result<(Vec<usize>, Option<usize>)> {
        let order = self.order.indices(self.samples, epoch)?;
        let places = (begin + self.rank..self.total()).step_by(self.world_size);
        // Beyond the end, padding begins again from the start.
        Ok((places.map(|place| order[place % order.len()]).collect(), order.first().copied()))
    }

    /// What makes the order: two samplers that agree in this give the same epochs.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.order.fingerprint(self.samples)
    }
}
