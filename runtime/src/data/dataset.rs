//! What a loader reads from.

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

    /// A batch of at least one sample.
    ///
    /// # Errors
    /// Any: it reaches the loop as it is.
    fn collate(&self, samples: Vec<Self::Sample>) -> Result<Self::Batch>;
}

/// The batch of the samples at `indices`.
pub(super) fn fetch<D: Dataset>(dataset: &D, indices: &[usize]) -> Result<D::Batch> {
    let sample = |&index: &usize| dataset.get(index).map_err(|error| Error::Sample { index, source: Box::new(error) });
    dataset.collate(indices.iter().map(sample).collect::<Result<_>>()?)
}
