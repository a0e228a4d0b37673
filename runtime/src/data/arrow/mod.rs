//! Arrow IPC files (Feather version 2): columns by name as tensors. Needs the feature `parquet`.
//!
//! ```no_run
//! use trainloop::data::{StreamLoader, TensorDataset, arrow};
//! use trainloop::prelude::*;
//!
//! # fn main() -> Result<()> {
//! let table = arrow::read("flowers.arrow")?;
//! let inputs = table.matrix::<f32>(&["sepal_length", "petal_length"])?; // [rows, 2]
//! let (labels, species) = table.classes("species")?; // [rows], and the classes' names
//! let flowers = TensorDataset::new([inputs, labels])?;
//!
//! // Files that are larger than memory, a record batch at a time.
//! let digits = arrow::stream(&["0.arrow", "1.arrow"], ["pixels", "label"])?;
//! let loader = StreamLoader::builder(digits).batch_size(64).build()?;
//! for batch in loader.epoch(0)? {
//!     let batch = batch?;
//!     let [pixels, labels] = &*batch; // [64, 784] and [64]
//! }
//! # Ok(())
//! # }
//! ```

mod stream;
mod table;
mod tensor;

pub use stream::{RecordStream, Row, Rows};
pub use table::Table;

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use arrow_ipc::reader::{FileReader, StreamReader};

use super::dataset::guarded;
use crate::error::{Error, Result};

pub(super) use stream::Source;

/// All rows of the file at `path`, in memory. Both formats are read, that of files and that of streams.
///
/// # Errors
/// [`Error::Io`] where it cannot be opened; [`Error::DataFile`] where it is no Arrow IPC file or is damaged.
pub fn read(path: impl AsRef<Path>) -> Result<Table> {
    let path = path.as_ref();
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut magic = Vec::new();
    file.by_ref().take(6).read_to_end(&mut magic).map_err(Error::io("read", path))?;
    file.rewind().map_err(Error::io("read", path))?;
    let (schema, batches) = unharmed(path, || {
        if magic == b"ARROW1" {
            let reader = FileReader::try_new_buffered(file, None)?;
            Ok::<_, arrow_schema::ArrowError>((reader.schema(), reader.collect::<Result<_, _>>()?))
        } else {
            let reader = StreamReader::try_new(BufReader::new(file), None)?;
            Ok((reader.schema(), reader.collect::<Result<_, _>>()?))
        }
    })?;
    Ok(Table::new(path, schema, batches))
}

/// `columns` of the files at `paths`, in their order, a record batch at a time: each is a shard.
///
/// # Errors
/// [`Error::Io`] where a file cannot be opened; [`Error::DataFile`] where one is not in Arrow's format of files, has no such
/// column, or one that is no number or of another type than in the first file; [`Error::Config`] where there is no file.
pub fn stream<const N: usize>(paths: &[impl AsRef<Path>], columns: [&str; N]) -> Result<RecordStream<N>> {
    let open = |path: &Path| {
        let file = File::open(path).map_err(Error::io("open", path))?;
        unharmed(path, || {
            let reader = FileReader::try_new_buffered(file, None)?;
            Ok::<_, arrow_schema::ArrowError>((reader.schema(), reader.num_batches(), Source::Arrow))
        })
    };
    RecordStream::open(paths, columns, open)
}

/// What `read` gives. The decoders' errors, and panics at damage that they did not think of, name the file.
pub(super) fn unharmed<T, E: std::fmt::Display>(path: &Path, read: impl FnOnce() -> Result<T, E>) -> Result<T> {
    let done = guarded(|| read().map_err(|error| error.to_string())).and_then(|done| done);
    done.map_err(|reason| Error::data_file(path, format!("cannot be read, damaged or of another format: {reason}")))
}

/// A place in a file, for what is wrong there.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) column: &'a str,
    /// What rows are counted in, such as a row group; the file without it.
    pub(super) group: Option<(&'static str, usize)>,
    pub(super) first_row: usize,
}

impl Place<'_> {
    pub(super) fn refused(&self, row: usize, reason: &str) -> Error {
        let group = self.group.map(|(what, number)| format!("{what} {number}, ")).unwrap_or_default();
        let Self { path, column, first_row, .. } = self;
        Error::data_file(path, format!("{group}row {}, column `{column}`: {reason}", first_row + row))
    }
}

fn column_in(path: &Path, schema: &arrow_schema::Schema, name: &str) -> Result<usize> {
    schema.fields().iter().position(|field| field.name() == name).ok_or_else(|| {
        let all: Vec<_> = schema.fields().iter().map(|field| format!("`{}`", field.name())).collect();
        Error::data_file(path, format!("there is no column `{name}` (there is: {})", all.join(", ")))
    })
}

#[cfg(test)]
mod tests;
