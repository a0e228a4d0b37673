//! Parquet files: columns by name as tensors. Needs the feature `parquet`.
//!
//! Pages may be uncompressed or compressed by Snappy or Zstandard.
//!
//! ```no_run
//! use trainloop::data::{StreamLoader, TensorDataset, parquet};
//! use trainloop::prelude::*;
//!
//! # fn main() -> Result<()> {
//! let table = parquet::read("flowers.parquet")?;
//! let inputs = table.matrix::<f32>(&["sepal_length", "petal_length"])?; // [rows, 2]
//! let (labels, species) = table.classes("species")?; // [rows], and the classes' names
//! let flowers = TensorDataset::new([inputs, labels])?;
//!
//! // Files that are larger than memory, a part of a row group at a time.
//! let digits = parquet::stream(&["0.parquet", "1.parquet"], ["pixels", "label"])?;
//! let loader = StreamLoader::builder(digits).batch_size(64).build()?;
//! for batch in loader.epoch(0)? {
//!     let batch = batch?;
//!     let [pixels, labels] = &*batch; // [64, 784] and [64]
//! }
//! # Ok(())
//! # }
//! ```

use std::fs::File;
use std::path::Path;

use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use ::parquet::errors::ParquetError;

use super::arrow::{RecordStream, Source, Table, unharmed};
use crate::error::{Error, Result};

/// All rows of the file at `path`, in memory.
///
/// # Errors
/// [`Error::Io`] where it cannot be opened; [`Error::DataFile`] where it is no Parquet file, is damaged, or compressed by
/// something else than Snappy or Zstandard.
pub fn read(path: impl AsRef<Path>) -> Result<Table> {
    let path = path.as_ref();
    let file = File::open(path).map_err(Error::io("open", path))?;
    let (schema, batches) = unharmed(path, || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let schema = builder.schema().clone();
        let batches = builder.build()?.collect::<Result<_, _>>()?;
        Ok::<_, ParquetError>((schema, batches))
    })?;
    Ok(Table::new(path, schema, batches))
}

/// `columns` of the files at `paths`, in their order, in parts of a row group: each group is a shard.
///
/// # Errors
/// [`Error::Io`] where a file cannot be opened; [`Error::DataFile`] where one is no Parquet file, has no such column, or one
/// that is no number or of another type than in the first file; [`Error::Config`] where there is no file.
pub fn stream<const N: usize>(paths: &[impl AsRef<Path>], columns: [&str; N]) -> Result<RecordStream<N>> {
    RecordStream::open(paths, columns, |path| {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let footer = unharmed(path, || ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()))?;
        let groups = footer.metadata().num_row_groups();
        Ok((footer.schema().clone(), groups, Source::Parquet(footer)))
    })
}
