//! Tensors in memory, whose first dimension counts the samples.

use tch::Tensor;

use super::dataset::Dataset;
use crate::error::{Error, Result};

/// `N` tensors of as many samples: PyTorch's `TensorDataset`.
///
/// A batch is `[Tensor; N]`, the rows of each tensor at the batch's indices, copied.
///
/// ```no_run
/// use tch::{Device, Kind, Tensor};
/// use trainloop::data::TensorDataset;
/// use trainloop::prelude::*;
///
/// # fn main() -> Result<()> {
/// let images = Tensor::rand([60_000, 1, 28, 28], (Kind::Float, Device::Cpu));
/// let labels = Tensor::randint(10, [60_000], (Kind::Int64, Device::Cpu));
/// let digits = TensorDataset::new([images, labels])?;
/// let loader = DataLoader::builder(digits).batch_size(64).shuffle(17).build()?;
/// for batch in loader.epoch(0)? {
///     let batch = batch?;
///     let [images, labels] = &*batch; // [64, 1, 28, 28] and [64]
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TensorDataset<const N: usize> {
    tensors: [Tensor; N],
    samples: usize,
}

impl<const N: usize> TensorDataset<N> {
    /// The samples of `tensors`, which stay where they are: nothing is copied.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no tensor, one has no dimension to count samples by, or their first dimensions
    /// differ.
    pub fn new(tensors: [Tensor; N]) -> Result<Self> {
        let mut samples = None;
        for (index, tensor) in tensors.iter().enumerate() {
            let first = if tensor.defined() { tensor.size().first().copied() } else { None };
            let Some(own) = first else {
                return Err(Error::config(format!(
                    "tensor {index} of a TensorDataset has no dimension that counts its samples; give it one of size [samples, …]"
                )));
            };
            match samples {
                None => samples = Some(own),
                Some(samples) if samples != own => {
                    return Err(Error::config(format!(
                        "tensor {index} of a TensorDataset has {own} samples and tensor 0 has {samples}; the first \
                         dimension of all must be the same"
                    )));
                }
                Some(_) => {}
            }
        }
        let Some(samples) = samples else {
            return Err(Error::config("a TensorDataset of no tensors has no samples; give at least one"));
        };
        // Of a tensor that needs gradients every batch would hang on the graph.
        Ok(Self { tensors: tensors.map(|tensor| tensor.detach()), samples: samples as usize })
    }

    /// The tensors.
    pub fn tensors(&self) -> &[Tensor; N] {
        &self.tensors
    }
}

/// Another handle of the same tensors.
impl<const N: usize> Clone for TensorDataset<N> {
    fn clone(&self) -> Self {
        Self { tensors: self.tensors.each_ref().map(Tensor::shallow_clone), samples: self.samples }
    }
}

impl<const N: usize> Dataset for TensorDataset<N> {
    /// A row's index: rows are gathered when they become a batch.
    type Sample = usize;
    type Batch = [Tensor; N];

    fn len(&self) -> usize {
        self.samples
    }

    fn get(&self, index: usize) -> Result<usize> {
        Ok(index)
    }

    fn collate(&self, indices: Vec<usize>) -> Result<[Tensor; N]> {
        let rows: Vec<i64> = indices.into_iter().map(|index| index as i64).collect();
        let rows = Tensor::from_slice(&rows);
        let mut batch = self.clone().tensors;
        for tensor in &mut batch {
            *tensor = tensor.f_index_select(0, &rows.f_to_device(tensor.device())?)?;
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::data::DataLoader;

    fn numbers(samples: i64, width: i64) -> Tensor {
        Tensor::arange(samples * width, (Kind::Float, Device::Cpu)).view([samples, width])
    }

    #[test]
    fn a_batch_has_the_rows_of_its_samples() {
        let labels = Tensor::arange(7, (Kind::Int64, Device::Cpu));
        let inputs = numbers(7, 3).set_requires_grad(true);
        let dataset = TensorDataset::new([inputs, labels]).unwrap();
        for workers in [0, 2] {
            let loader =
                DataLoader::builder(dataset.clone()).batch_size(3).shuffle(4).workers(workers).build().unwrap();
            let mut seen = Vec::new();
            for batch in loader.epoch(1).unwrap() {
                let [inputs, labels] = batch.unwrap().into_inner();
                let rows = Vec::<i64>::try_from(&labels).unwrap();
                assert_eq!(inputs.size(), [rows.len() as i64, 3]);
                assert!(!inputs.requires_grad());
                for (place, row) in rows.iter().enumerate() {
                    let expected: Vec<f32> = (0..3).map(|column| (row * 3 + column) as f32).collect();
                    assert_eq!(Vec::<f32>::try_from(inputs.get(place as i64)).unwrap(), expected);
                }
                seen.extend(rows);
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..7).collect::<Vec<_>>());
        }
    }

    /// What is done to a batch in place does not reach the dataset.
    #[test]
    fn a_batch_is_a_copy() {
        let dataset = TensorDataset::new([numbers(4, 2)]).unwrap();
        let [mut batch] = dataset.collate(vec![0, 1, 2, 3]).unwrap();
        let _ = batch.fill_(-1.0);
        assert_eq!(dataset.tensors()[0], numbers(4, 2));
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let refused = |tensors: [Tensor; 2]| TensorDataset::new(tensors).unwrap_err().to_string();
        let error = refused([numbers(4, 2), numbers(5, 2)]);
        assert!(error.contains("tensor 1 of a TensorDataset has 5 samples and tensor 0 has 4"), "{error}");
        for without in [Tensor::from(1.0), Tensor::new()] {
            let error = refused([numbers(4, 2), without]);
            assert!(error.contains("tensor 1 of a TensorDataset has no dimension"), "{error}");
        }
        let error = TensorDataset::new([]).unwrap_err().to_string();
        assert!(error.contains("at least one"), "{error}");
    }
}
