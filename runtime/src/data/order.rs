//! What the places of an epoch mean: which sample comes when, as a function of seed and epoch alone.

use std::sync::Arc;

use super::dataset::mixed;
use super::mersenne::Mersenne;
use crate::c10d::aten;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The order of an epoch's samples. It is a function of the epoch, so that a run that was interrupted goes on with the
/// sample that it would have seen, also on another number of ranks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Order {
    /// As they lie in the dataset.
    #[default]
    Sequential,
    /// All of them, shuffled anew for each epoch: PyTorch's order of `seed + epoch`.
    Shuffled {
        /// What the orders follow from.
        seed: u64,
    },
    /// Drawn by weights.
    Weighted(WeightedSampler),
    /// Those of similar length together.
    Bucketed(BucketSampler),
}

impl From<WeightedSampler> for Order {
    fn from(sampler: WeightedSampler) -> Self {
        Self::Weighted(sampler)
    }
}

impl From<BucketSampler> for Order {
    fn from(sampler: BucketSampler) -> Self {
        Self::Bucketed(sampler)
    }
}

impl Order {
    /// How many places an epoch of that many samples has.
    pub(super) fn places(&self, samples: usize) -> usize {
        match self {
            Self::Weighted(weighted) => weighted.draws,
            _ => samples,
        }
    }

    /// The samples of all places.
    pub(super) fn indices(&self, samples: usize, epoch: u64) -> Result<Vec<usize>> {
        match self {
            Self::Sequential => Ok((0..samples).collect()),
            Self::Shuffled { seed } => permutation(samples, seed.wrapping_add(epoch)),
            Self::Weighted(weighted) => Ok(weighted.indices(epoch)),
            Self::Bucketed(bucketed) => bucketed.indices(epoch),
        }
    }

    /// Refuses what was made for another number of samples.
    pub(super) fn check(&self, samples: usize) -> Result<()> {
        let (known, what) = match self {
            Self::Sequential | Self::Shuffled { .. } => return Ok(()),
            Self::Weighted(weighted) => (weighted.weights.len(), "weights"),
            Self::Bucketed(bucketed) => (bucketed.lengths.len(), "lengths"),
        };
        if known == samples {
            return Ok(());
        }
        Err(Error::config(format!(
            "there are {known} {what} for {samples} samples; the order needs one for each sample"
        )))
    }

    pub(super) fn fingerprint(&self, samples: usize) -> Fingerprint {
        let (seed, kind) = match self {
            Self::Sequential => (None, Kind::Plain),
            Self::Shuffled { seed } => (Some(*seed), Kind::Plain),
            &Self::Weighted(WeightedSampler { draws, seed, digest, .. }) => {
                (Some(seed), Kind::Weighted { draws, digest })
            }
            &Self::Bucketed(BucketSampler { chunk, pool, seed, digest, .. }) => {
                (Some(seed), Kind::Bucketed { chunk, pool, digest })
            }
        };
        Fingerprint { samples, seed, kind }
    }
}

pub(super) fn permutation(things: usize, seed: u64) -> Result<Vec<usize>> {
    let order = Vec::<i64>::try_from(&aten::randperm(things as i64, seed)?)?;
    Ok(order.into_iter().map(|index| index as usize).collect())
}

fn digest(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, |state, number| mixed(state ^ number))
}

/// Samples drawn at random, each as often as its weight says: PyTorch's `WeightedRandomSampler`, with its draws of
/// several for a generator seeded `seed + epoch`. Each epoch draws anew.
///
/// ```no_run
/// use trainloop::data::WeightedSampler;
/// # use trainloop::prelude::*;
///
/// # fn main() -> Result<()> {
/// # let (labels, digits) = (vec![0_usize, 1, 1], trainloop::data::InMemory::new(vec![0_i64, 1, 1]));
/// // Each class as often as any other.
/// let mut sizes = [0.0; 10];
/// labels.iter().for_each(|&label| sizes[label] += 1.0);
/// let weights: Vec<f64> = labels.iter().map(|&label| 1.0 / sizes[label]).collect();
/// let sampler = WeightedSampler::new(weights, labels.len(), 17)?;
/// let loader = DataLoader::builder(digits).batch_size(64).order(sampler).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedSampler {
    weights: Arc<[f64]>,
    draws: usize,
    seed: u64,
    /// Of the weights.
    digest: u64,
}

/// Every weight is finite.
impl Eq for WeightedSampler {}

impl WeightedSampler {
    /// `draws` samples in each epoch, of all ranks together, with replacement: a sample may come several times. The weights,
    /// one for each sample of the dataset, need not add up to 1.
    ///
    /// # Errors
    /// [`Error::Config`] where a weight is negative, infinite or NaN, or all are 0; where nothing is to be drawn.
    pub fn new(weights: impl Into<Vec<f64>>, draws: usize, seed: u64) -> Result<Self> {
        let weights: Vec<f64> = weights.into();
        if let Some((index, weight)) =
            weights.iter().enumerate().find(|(_, weight)| !weight.is_finite() || **weight < 0.0)
        {
            return Err(Error::config(format!(
                "the weight of sample {index} is {weight}; give a finite one from 0 up"
            )));
        }
        if !weights.iter().any(|&weight| weight > 0.0) {
            return Err(Error::config("no sample has a weight above 0, so none can be drawn"));
        }
        if draws == 0 {
            return Err(Error::config("an epoch of 0 draws trains nothing; give at least 1"));
        }
        let digest = digest(weights.iter().map(|weight| weight.to_bits()));
        Ok(Self { weights: weights.into(), draws, seed, digest })
    }

    /// As libtorch does it: a number between 0 and 1 falls into one of the weights laid end to end.
    fn indices(&self, epoch: u64) -> Vec<usize> {
        let mut ends: Vec<f64> = Vec::with_capacity(self.weights.len());
        let mut sum = 0.0;
        for weight in self.weights.iter() {
            sum += weight;
            ends.push(sum);
        }
        for end in &mut ends {
            *end /= sum;
        }
        // Whatever was rounded.
        if let Some(last) = ends.last_mut() {
            *last = 1.0;
        }
        let mut generator = Mersenne::new(self.seed.wrapping_add(epoch));
        let draw = || {
            let number = generator.uniform();
            ends.partition_point(|&end| end < number)
        };
        std::iter::repeat_with(draw).take(self.draws).collect()
    }
}

/// Samples of similar length side by side, so that little of a batch is padding: every sample once in an epoch.
///
/// An epoch's samples are shuffled and fall into pools; each pool is sorted by length and cut into chunks, and the chunks are
/// shuffled. A chunk is best a global batch (`batch_size` × ranks), or a multiple. It is given here rather than taken from the
/// loader, so that the order stays the same where a run goes on with more or fewer ranks. Pools are
/// Transformers' `group_by_length` (`LengthGroupedSampler`), whose batches stay sorted inside a pool.
///
/// ```no_run
/// use trainloop::data::{BucketSampler, Collate, InMemory};
/// # use trainloop::prelude::*;
///
/// #[derive(Collate, Clone)]
/// struct Sentence {
///     #[collate(pad = 0)]
///     tokens: Vec<i64>,
/// }
///
/// # fn train(ctx: &mut Context, sentences: Vec<Sentence>) -> Result<()> {
/// let lengths: Vec<usize> = sentences.iter().map(|sentence| sentence.tokens.len()).collect();
/// let order = BucketSampler::new(lengths, 64, 17)?;
/// let loader = DataLoader::builder(InMemory::new(sentences)).batch_size(32).order(order);
/// let loader = ctx.prepare_data_loader(loader)?; // on 2 ranks
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSampler {
    lengths: Arc<[usize]>,
    chunk: usize,
    pool: usize,
    seed: u64,
    /// Of the lengths.
    digest: u64,
}

impl BucketSampler {
    /// Chunks of `chunk` samples, in pools of 50 chunks; `lengths` are those of all samples of the dataset.
    ///
    /// # Errors
    /// [`Error::Config`] for chunks of 0 samples.
    pub fn new(lengths: impl Into<Vec<usize>>, chunk: usize, seed: u64) -> Result<Self> {
        if chunk == 0 {
            return Err(Error::config("a chunk of 0 samples holds none; give the size of a global batch"));
        }
        let lengths: Vec<usize> = lengths.into();
        let digest = digest(lengths.iter().map(|&length| length as u64));
        Ok(Self { lengths: lengths.into(), chunk, pool: 50, seed, digest })
    }

    /// How many chunks are sorted together: with more, lengths in a chunk are more alike, and with fewer, it is more a matter
    /// of chance which samples come together.
    ///
    /// # Errors
    /// [`Error::Config`] for pools of 0 chunks.
    pub fn pool(mut self, chunks: usize) -> Result<Self> {
        if chunks == 0 {
            return Err(Error::config("a pool of 0 chunks holds no sample; give at least 1"));
        }
        self.pool = chunks;
        Ok(self)
    }

    fn indices(&self, epoch: u64) -> Result<Vec<usize>> {
        let seed = self.seed.wrapping_add(epoch);
        let mut order = permutation(self.lengths.len(), seed)?;
        for pool in order.chunks_mut(self.chunk.saturating_mul(self.pool)) {
            // Stable: chance decides among those of one length.
            pool.sort_by_key(|&index| self.lengths[index]);
        }
        // A last chunk that is short stays last: those before it lie where global batches do.
        let whole = order.len() / self.chunk;
        let mut shuffled = Vec::with_capacity(order.len());
        for chunk in permutation(whole, mixed(seed))? {
            shuffled.extend_from_slice(&order[chunk * self.chunk..(chunk + 1) * self.chunk]);
        }
        shuffled.extend_from_slice(&order[whole * self.chunk..]);
        Ok(shuffled)
    }
}

/// What makes an order of samples: where it is the same, so are the epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    samples: usize,
    seed: Option<u64>,
    #[serde(default, skip_serializing_if = "Kind::is_plain")]
    kind: Kind,
}

/// Weights and lengths are compared by a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
enum Kind {
    /// Shuffled if there is a seed.
    #[default]
    Plain,
    Weighted {
        draws: usize,
        digest: u64,
    },
    Bucketed {
        chunk: usize,
        pool: usize,
        digest: u64,
    },
}

impl Kind {
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { samples, seed, kind } = self;
        let seed = seed.map(|seed| format!(" by seed {seed}")).unwrap_or_default();
        match kind {
            Kind::Plain if seed.is_empty() => write!(f, "{samples} samples in order"),
            Kind::Plain => write!(f, "{samples} samples shuffled{seed}"),
            Kind::Weighted { draws, digest } => {
                write!(f, "{draws} draws of {samples} samples with weights {digest:016x}{seed}")
            }
            Kind::Bucketed { chunk, pool, digest } => write!(
                f,
                "{samples} samples of lengths {digest:016x} in chunks of {chunk} and pools of {pool}, shuffled{seed}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_draw_nothing_are_refused() {
        let refused = |weights: &[f64], draws| WeightedSampler::new(weights, draws, 0).unwrap_err().to_string();
        for weight in [-1.0, f64::NAN, f64::INFINITY] {
            let error = refused(&[1.0, weight], 3);
            assert!(error.contains("the weight of sample 1 is"), "{error}");
        }
        assert!(refused(&[0.0, 0.0], 3).contains("no sample has a weight above 0"));
        assert!(refused(&[], 3).contains("no sample has a weight above 0"));
        assert!(refused(&[1.0], 0).contains("0 draws"));
    }

    /// Every sample once; in a chunk, lengths that follow one another in the pool; the short chunk last.
    #[test]
    fn chunks_have_similar_lengths() {
        let lengths: Vec<usize> = (0..1003).map(|index| index * 7919 % 101).collect();
        let sampler = BucketSampler::new(lengths.clone(), 10, 3).unwrap().pool(20).unwrap();
        let order = sampler.indices(2).unwrap();
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, (0..1003).collect::<Vec<_>>());
        let spread = |order: &[usize]| -> usize {
            let spread = |chunk: &[usize]| {
                let lengths = || chunk.iter().map(|&index| lengths[index]);
                lengths().max().unwrap() - lengths().min().unwrap()
            };
            order.chunks_exact(10).map(spread).sum()
        };
        // A pool of 200 lengths from 0 to 100 in 20 chunks: some 5 in a chunk, where chance makes some 80.
        let (bucketed, shuffled) = (spread(&order), spread(&permutation(1003, 3).unwrap()));
        assert!(bucketed < 100 * 10 && shuffled > 100 * 60, "{bucketed} {shuffled}");
        // The chunks are not sorted as the pools were.
        let first: Vec<usize> = order.chunks_exact(10).map(|chunk| lengths[chunk[0]]).collect();
        assert!(first.windows(2).filter(|pair| pair[0] > pair[1]).count() > 20, "{first:?}");
    }

    #[test]
    fn an_order_is_a_function_of_seed_and_epoch() {
        let lengths: Vec<usize> = (0..200).map(|index| index % 13).collect();
        let buckets = |seed| Order::from(BucketSampler::new(lengths.clone(), 8, seed).unwrap());
        let weights = |seed| Order::from(WeightedSampler::new(vec![1.0; 200], 200, seed).unwrap());
        for order in [&buckets as &dyn Fn(u64) -> Order, &weights] {
            let indices = |seed, epoch| order(seed).indices(200, epoch).unwrap();
            assert_eq!(indices(1, 4), indices(1, 4));
            assert_ne!(indices(1, 4), indices(1, 5));
            assert_ne!(indices(1, 4), indices(9, 4));
        }
    }

    #[test]
    fn sizes_of_zero_are_refused() {
        assert!(BucketSampler::new([1], 0, 0).unwrap_err().to_string().contains("a chunk of 0 samples"));
        let pool = BucketSampler::new([1], 1, 0).unwrap().pool(0);
        assert!(pool.unwrap_err().to_string().contains("a pool of 0 chunks"));
        assert_eq!(BucketSampler::new([], 4, 0).unwrap().indices(0).unwrap(), [] as [usize; 0]);
    }

    /// Checkpoints from before there were other orders.
    #[test]
    fn a_fingerprint_without_a_kind_is_of_a_plain_order() {
        let old = r#"{"samples": 5, "seed": 3}"#;
        let read: Fingerprint = serde_json::from_str(old).unwrap();
        assert_eq!(read, Order::Shuffled { seed: 3 }.fingerprint(5));
        assert_eq!(serde_json::to_value(read).unwrap(), serde_json::from_str::<serde_json::Value>(old).unwrap());
        assert_eq!(read.to_string(), "5 samples shuffled by seed 3");
        assert_eq!(Order::Sequential.fingerprint(5).to_string(), "5 samples in order");
    }
}
