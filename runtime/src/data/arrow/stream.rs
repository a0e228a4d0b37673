//! Columns of many files, a row group or record batch at a time.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use arrow_array::RecordBatch;
use arrow_ipc::reader::FileReader;
use arrow_schema::{ArrowError, SchemaRef};
use tch::{Kind, Tensor};

use super::tensor::{shape, tensor};
use super::{Place, column_in, unharmed};
use crate::data::IterableDataset;
use crate::error::{Error, Result};

/// How many rows of a row group are decoded at a time.
const ROWS: usize = 4096;

/// `N` columns of files, of [`parquet::stream`](crate::data::parquet::stream) or [`arrow::stream`](super::stream). A row
/// group, or a record batch, is a shard.
///
/// A batch is `[Tensor; N]`: of each column `[samples]`, or `[samples, width]` of fixed-size lists, in the dtype that it has
/// in the files (int64 for unsigned integers that are longer than a byte). A thread holds a record batch, or a few
/// thousand rows of a row group, and no more.
#[derive(Clone)]
pub struct RecordStream<const N: usize>(Arc<Layout<N>>);

struct Layout<const N: usize> {
    columns: [String; N],
    files: Vec<(PathBuf, Source)>,
    /// The file and the group in it.
    shards: Vec<(usize, usize)>,
}

/// How a file's groups are read.
pub(in crate::data) enum Source {
    Arrow,
    /// With the file's footer, which is read once.
    Parquet(ArrowReaderMetadata),
}

impl Source {
    fn group(&self) -> &'static str {
        match self {
            Self::Arrow => "record batch",
            Self::Parquet(_) => "row group",
        }
    }

    /// The record batches of one group. Of Parquet they begin `skip` rows into it; the rows that are still to be passed over
    /// come with them.
    fn batches(
        &self,
        file: File,
        columns: &[String],
        group: usize,
        skip: usize,
    ) -> Result<(Batches, usize), ArrowError> {
        let places =
            |schema: &SchemaRef| columns.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>();
        match self {
            Self::Arrow => {
                let schema = FileReader::try_new_buffered(file.try_clone()?, None)?.schema();
                let mut places = places(&schema)?;
                places.sort_unstable();
                places.dedup();
                let mut reader = FileReader::try_new_buffered(file, Some(places))?;
                reader.set_index(group)?;
                Ok((Box::new(reader.take(1)), skip))
            }
            Self::Parquet(footer) => {
                let roots = places(footer.schema())?;
                let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer.clone());
                let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
                let builder = builder.with_row_groups(vec![group]).with_projection(mask).with_batch_size(ROWS);
                Ok((Box::new(builder.with_offset(skip).build()?), 0))
            }
        }
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

impl<const N: usize> RecordStream<N> {
    /// `open` gives a file's schema, and how many groups it has.
    pub(in crate::data) fn open(
        paths: &[impl AsRef<Path>],
        columns: [&str; N],
        open: impl Fn(&Path) -> Result<(SchemaRef, usize, Source)>,
    ) -> Result<Self> {
        if paths.is_empty() || N == 0 {
            return Err(Error::config("a stream of no files or no columns has no samples; give at least one of each"));
        }
        let mut files = Vec::with_capacity(paths.len());
        let mut shards = Vec::new();
        let mut first: Option<Vec<(Kind, Vec<i64>)>> = None;
        for path in paths {
            let path = path.as_ref();
            let (schema, groups, source) = open(path)?;
            let of_column = |name: &&str| shape(path, name, schema.field(column_in(path, &schema, name)?).data_type());
            let shapes = columns.iter().map(of_column).collect::<Result<Vec<_>>>()?;
            let first = first.get_or_insert_with(|| shapes.clone());
            for ((name, own), first) in columns.iter().zip(&shapes).zip(&*first) {
                if own != first {
                    let reason = format!(
                        "column `{name}` is {:?} of {:?} for each row, and {:?} of {:?} in {}",
                        own.1,
                        own.0,
                        first.1,
                        first.0,
                        paths[0].as_ref().display()
                    );
                    return Err(Error::data_file(path, reason));
                }
            }
            shards.extend((0..groups).map(|group| (files.len(), group)));
            files.push((path.to_owned(), source));
        }
        Ok(Self(Arc::new(Layout { columns: columns.map(str::to_owned), files, shards })))
    }
}

/// One row of a [`RecordStream`]: a place in what its thread holds, gathered when it becomes part of a batch.
pub struct Row<const N: usize> {
    of: Rc<[Tensor; N]>,
    row: i64,
}

/// The rows of a shard of a [`RecordStream`].
pub struct Rows<const N: usize> {
    files: Arc<Layout<N>>,
    shard: usize,
    batches: Batches,
    /// What is decoded, its rows, and the next of them.
    held: Option<Rc<[Tensor; N]>>,
    len: usize,
    next: usize,
    /// Where in its group the first row of what is held lies.
    first_row: usize,
    skip: usize,
}

impl<const N: usize> Rows<N> {
    /// Holds the group's next rows; false at its end.
    fn advance(&mut self) -> Result<bool> {
        let (file, group) = self.files.shards[self.shard];
        let (path, source) = &self.files.files[file];
        // What was held is let go before more is decoded.
        self.held = None;
        self.first_row += self.len;
        let Some(batch) = unharmed(path, || self.batches.next().transpose())? else { return Ok(false) };
        let mut tensors = [const { None }; N];
        for (place, name) in tensors.iter_mut().zip(&self.files.columns) {
            let at = Place { path, column: name, group: Some((source.group(), group)), first_row: self.first_row };
            let column = batch.column(column_in(path, batch.schema_ref(), name)?);
            *place = Some(tensor(column, &at)?);
        }
        self.len = batch.num_rows();
        self.next = std::mem::take(&mut self.skip).min(self.len);
        self.held = Some(Rc::new(tensors.map(Option::unwrap_or_default)));
        Ok(true)
    }
}

impl<const N: usize> Iterator for Rows<N> {
    type Item = Result<Row<N>>;

    fn next(&mut self) -> Option<Result<Row<N>>> {
        loop {
            if let Some(of) = self.held.as_ref().filter(|_| self.next < self.len) {
                let row = Row { of: Rc::clone(of), row: self.next as i64 };
                self.next += 1;
                return Some(Ok(row));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<const N: usize> IterableDataset for RecordStream<N> {
    type Sample = Row<N>;
    type Batch = [Tensor; N];
    type Samples = Rows<N>;

    fn shards(&self) -> usize {
        self.0.shards.len()
    }

    fn open(&self, shard: usize, epoch: u64) -> Result<Rows<N>> {
        self.open_at(shard, epoch, 0)
    }

    /// A row group is not decoded up to there.
    fn open_at(&self, shard: usize, _epoch: u64, skip: u64) -> Result<Rows<N>> {
        let Some(&(file, group)) = self.0.shards.get(shard) else {
            return Err(Error::other(format!("there are {} shards", self.shards())));
        };
        let (path, source) = &self.0.files[file];
        let opened = File::open(path).map_err(Error::io("open", path))?;
        let whole = skip as usize;
        let (batches, skip) = unharmed(path, || source.batches(opened, &self.0.columns, group, whole))?;
        let files = Arc::clone(&self.0);
        Ok(Rows { files, shard, batches, held: None, len: 0, next: 0, first_row: whole - skip, skip })
    }

    fn collate(&self, rows: Vec<Row<N>>) -> Result<[Tensor; N]> {
        let mut parts = [const { Vec::new() }; N];
        // Rows that are held together are gathered at once.
        for rows in rows.chunk_by(|a, b| Rc::ptr_eq(&a.of, &b.of)) {
            let places: Vec<i64> = rows.iter().map(|row| row.row).collect();
            let places = Tensor::f_from_slice(&places)?;
            for (parts, column) in parts.iter_mut().zip(&*rows[0].of) {
                parts.push(column.f_index_select(0, &places)?);
            }
        }
        let mut batch = [const { None }; N];
        for (place, parts) in batch.iter_mut().zip(parts) {
            *place = Some(Tensor::f_cat(&parts, 0)?);
        }
        Ok(batch.map(Option::unwrap_or_default))
    }
}

impl<const N: usize> fmt::Debug for RecordStream<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordStream")
            .field("columns", &self.0.columns)
            .field("files", &self.0.files.len())
            .field("shards", &self.0.shards.len())
            .finish()
    }
}
