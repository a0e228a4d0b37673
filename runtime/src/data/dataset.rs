//! What a loader reads from.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// Samples by index, and how several become a batch.
///
/// A dataset is a handle: it is cloned for each of the loader's threads, so keep large data behind an
/// [`Arc`](std::sync::Arc). It need not be `Sync`, since tensors are not.
///
/// ```
/// use std::sync::Arc;
/// use trainloop::prelude::*;
///
/// #[derive(Clone)]
/// struct Squares(Arc<Vec<f64>>);
///
/// impl Dataset for Squares {
///     type Sample = f64;
///     type Batch = Vec<f64>;
///
///     fn len(&self) -> usize {
///         self.0.len()
///     }
///
///     fn get(&self, index: usize) -> Result<f64> {
///         Ok(self.0[index].powi(2))
///     }
///
///     fn collate(&self, samples: Vec<f64>) -> Result<Vec<f64>> {
///         Ok(samples)
///     }
/// }
/// ```
pub trait Dataset: Clone + Send + 'static {
    /// One sample.
    type Sample;
    /// What the loop gets: several samples, usually as tensors whose first dimension counts them.
    type Batch: Send + 'static;

    /// How many samples there are.
    fn len(&self) -> usize;

    /// True if there is no sample.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sample at `index`, which is below [`len`](Self::len).
    ///
    /// # Errors
    /// Any: it reaches the loop as [`Error::Sample`], with the index.
    fn get(&self, index: usize) -> Result<Self::Sample>;

    /// The sample that is drawn, where it differs from epoch to epoch, as that of an image that is flipped and shifted at
    /// random. By default it is that at [`draw.index`](Draw::index), and the loader calls this method alone.
    ///
    /// Take every random number from [`draw.seed`](Draw::seed): then it does not depend on threads, ranks, or on where a run
    /// was interrupted.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn draw(&self, draw: Draw) -> Result<Self::Sample> {
        self.get(draw.index)
    }

    /// A batch of at least one sample.
    ///
    /// # Errors
    /// Any: it reaches the loop as it is.
    fn collate(&self, samples: Vec<Self::Sample>) -> Result<Self::Batch>;
}

/// One sample of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Draw {
    /// The sample's index in the dataset.
    pub index: usize,
    /// The epoch.
    pub epoch: u64,
    /// Its place in the epoch's order, counted over all ranks: a sampler may draw an index several times.
    pub place: usize,
}

impl Draw {
    /// A seed for a generator of random numbers: another one for each epoch, place and `seed`, and the same one whoever
    /// reads the sample, and whenever.
    ///
    /// ```
    /// use trainloop::data::Draw;
    ///
    /// let draw = Draw { index: 7, epoch: 2, place: 40 };
    /// assert_eq!(draw.seed(17), draw.seed(17));
    /// assert_ne!(draw.seed(17), Draw { epoch: 3, ..draw }.seed(17));
    /// ```
    #[must_use]
    pub fn seed(&self, seed: u64) -> u64 {
        [self.epoch, self.place as u64].into_iter().fold(mixed(seed), |state, number| mixed(state ^ number))
    }
}

/// One step of Steele, Lea and Flood's `SplitMix64`: every bit depends on every bit.
pub(super) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What is done with a batch that is made, where it is made.
pub(super) type Finish<B> = fn(B) -> Result<B>;

/// The batch of the samples that are drawn. A dataset's panic is an error of the loop, not the end of a thread.
pub(super) fn fetch<D: Dataset>(dataset: &D, draws: &[Draw], finish: Finish<D::Batch>) -> Result<D::Batch> {
    let sample = |&draw: &Draw| {
        let of_sample = |source| Error::Sample { index: draw.index, source };
        match guarded(|| dataset.draw(draw)) {
            Ok(sample) => sample.map_err(|error| of_sample(error.into())),
            Err(message) => Err(of_sample(format!("it panicked: {message}").into())),
        }
    };
    let samples = draws.iter().map(sample).collect::<Result<_>>()?;
    guarded(|| dataset.collate(samples).and_then(finish)).unwrap_or_else(|message| {
        let indices: Vec<_> = draws.iter().map(|draw| draw.index).collect();
        Err(Error::other(format!("the dataset panicked while it made a batch of samples {indices:?}: {message}")))
    })
}

/// What `body` gives, or the words of its panic.
pub(super) fn guarded<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
        let message = crate::worker::panic_message(panic.as_ref());
        // A panic's value may panic as it is dropped, which would end the thread and leave the loop waiting.
        std::mem::forget(panic);
        message
    })
}
