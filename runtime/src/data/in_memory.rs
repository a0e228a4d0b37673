//! Samples in memory, as values of any type that collates.

use std::sync::Arc;

use super::collate::Collate;
use super::dataset::Dataset;
use crate::error::Result;

/// Samples of a type that derives [`Collate`], such as the lines of a [CSV file](super::csv::rows). They are shared by the
/// loader's threads, so the type is `Sync`; for tensors there is [`TensorDataset`](super::TensorDataset).
///
/// ```no_run
/// use serde::Deserialize;
/// use trainloop::data::{Collate, InMemory, csv};
/// use trainloop::prelude::*;
///
/// #[derive(Deserialize, Collate, Clone)]
/// struct Flower {
///     sepal_length: f32,
///     petal_length: f32,
///     species: i64,
/// }
///
/// # fn main() -> Result<()> {
/// let flowers = InMemory::new(csv::rows::<Flower>("flowers.csv")?);
/// let loader = DataLoader::builder(flowers).batch_size(16).shuffle(17).build()?;
/// for batch in loader.epoch(0)? {
///     let batch = batch?;
///     let (lengths, species) = (&batch.petal_length, &batch.species); // [16] each
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct InMemory<S>(Arc<[S]>);

impl<S> InMemory<S> {
    /// These samples, in their order.
    #[must_use]
    pub fn new(samples: Vec<S>) -> Self {
        Self(samples.into())
    }

    /// The samples.
    #[must_use]
    pub fn samples(&self) -> &[S] {
        &self.0
    }
}

/// Another handle of the same samples.
impl<S> Clone for InMemory<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Collate + Clone + Send + Sync + 'static> Dataset for InMemory<S> {
    type Sample = S;
    type Batch = S::Batch;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Result<S> {
        self.0.get(index).cloned().ok_or_else(|| crate::Error::other(format!("there are {} samples", self.0.len())))
    }

    fn collate(&self, samples: Vec<S>) -> Result<S::Batch> {
        S::collate(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataLoader;

    #[test]
    fn samples_are_batched_by_their_type() {
        let samples = InMemory::new((0..5).map(|number| (number, [number as f32; 2])).collect::<Vec<(i64, _)>>());
        let loader = DataLoader::builder(samples).batch_size(2).workers(2).build().unwrap();
        let batches: Vec<_> = loader.epoch(0).unwrap().map(|batch| batch.unwrap().into_inner()).collect();
        let numbers: Vec<i64> =
            batches.iter().flat_map(|(numbers, _)| Vec::<i64>::try_from(numbers).unwrap()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        assert_eq!(batches[2].1.size(), [1, 2]);
    }
}
