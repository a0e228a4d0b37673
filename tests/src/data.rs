//! Data of programs under test.

use tch::Tensor;
use trainloop::prelude::*;

/// Each sample is its index.
#[derive(Clone)]
pub struct Indices(pub usize);

impl Dataset for Indices {
    type Sample = i64;
    type Batch = Tensor;

    fn len(&self) -> usize {
        self.0
    }

    fn get(&self, index: usize) -> Result<i64> {
        Ok(index as i64)
    }

    fn collate(&self, samples: Vec<i64>) -> Result<Tensor> {
        Ok(Tensor::from_slice(&samples))
    }
}

/// These rows of a table: float64, `[rows, columns]`.
///
/// # Errors
/// Where the rows are of different lengths.
pub fn rows(table: &[Vec<f64>], rows: &[usize]) -> Result<Tensor> {
    let values: Vec<f64> = rows.iter().flat_map(|&row| table[row].iter().copied()).collect();
    Ok(Tensor::from_slice(&values).f_view([rows.len() as i64, -1])?)
}
