//! A file's columns, in memory.

use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use tch::Tensor;
use tch::kind::Element;

use super::tensor::{converted, shape, tensor};
use super::{Place, column_in};
use crate::data::classes::classes_of;
use crate::error::{Error, Result};

/// A file's rows, in memory, with the words of [`csv::Table`](crate::data::csv::Table). Rows are counted from 0.
#[derive(Debug, Clone)]
pub struct Table {
    path: PathBuf,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: usize,
}

impl Table {
    pub(in crate::data) fn new(path: &Path, schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        Self { path: path.to_owned(), schema, batches, rows }
    }

    /// The columns' names, in their order.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        self.schema.fields().iter().map(|field| field.name().as_str()).collect()
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True if there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// A column's numbers, `[rows]`, or `[rows, width]` of fixed-size lists, in the dtype of `T`: `f32`, `i64`, `bool`, ….
    ///
    /// # Errors
    /// [`Error::DataFile`] where there is no such column, where its type is no number, and, with the row, where a value is
    /// null or an integer `T` cannot hold it. Floats are rounded.
    pub fn column<T: Element>(&self, name: &str) -> Result<Tensor> {
        let column = column_in(&self.path, &self.schema, name)?;
        let (_, sizes) = shape(&self.path, name, self.schema.field(column).data_type())?;
        let mut at = Place { path: &self.path, column: name, group: None, first_row: 0 };
        let mut parts = Vec::with_capacity(self.batches.len());
        for batch in &self.batches {
            parts.push(converted::<T>(tensor(batch.column(column), &at)?, &at)?);
            at.first_row += batch.num_rows();
        }
        if parts.is_empty() {
            let size: Vec<i64> = std::iter::once(0).chain(sizes).collect();
            return Ok(Tensor::f_zeros(size.as_slice(), (T::KIND, tch::Device::Cpu))?);
        }
        Ok(Tensor::f_cat(&parts, 0)?)
    }

    /// Several columns' numbers side by side, `[rows, columns]`, in the dtype of `T`.
    ///
    /// # Errors
    /// As [`column`](Self::column); [`Error::DataFile`] where one is of lists.
    pub fn matrix<T: Element>(&self, names: &[&str]) -> Result<Tensor> {
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            let column = self.column::<T>(name)?;
            if column.dim() != 1 {
                let reason = format!("column `{name}` is of lists, which are a matrix already; take it with `column`");
                return Err(Error::data_file(&self.path, reason));
            }
            columns.push(column);
        }
        if columns.is_empty() {
            return Ok(Tensor::f_zeros([self.rows as i64, 0], (T::KIND, tch::Device::Cpu))?);
        }
        Ok(Tensor::f_stack(&columns, 1)?)
    }

    /// A column's texts.
    ///
    /// # Errors
    /// [`Error::DataFile`] where there is no such column, its type is no text, or, with the row, one is null.
    pub fn texts(&self, name: &str) -> Result<Vec<&str>> {
        let column = column_in(&self.path, &self.schema, name)?;
        let mut at = Place { path: &self.path, column: name, group: None, first_row: 0 };
        let mut texts = Vec::with_capacity(self.rows);
        for batch in &self.batches {
            let array = batch.column(column);
            let found: Vec<Option<&str>> = match array.data_type() {
                DataType::Utf8 => array.as_string::<i32>().iter().collect(),
                DataType::LargeUtf8 => array.as_string::<i64>().iter().collect(),
                DataType::Utf8View => array.as_string_view().iter().collect(),
                other => {
                    let reason = format!("column `{name}` is of type {other}, which is no text");
                    return Err(Error::data_file(&self.path, reason));
                }
            };
            for (row, text) in found.into_iter().enumerate() {
                texts
                    .push(text.ok_or_else(|| at.refused(row, "null, which is no text; fill it or leave the row out"))?);
            }
            at.first_row += batch.num_rows();
        }
        Ok(texts)
    }

    /// A column's texts as classes: the number of each row's, `[rows]` of int64, and the classes' names, sorted.
    ///
    /// # Errors
    /// As [`texts`](Self::texts).
    pub fn classes(&self, name: &str) -> Result<(Tensor, Vec<String>)> {
        classes_of(&self.texts(name)?)
    }
}
