//! CSV files: columns by name as tensors, or lines as values of a type of one's own.
//!
//! The format is RFC 4180's, as most programs write it: fields with a comma between, those with a comma, quote or line
//! break of their own in quotes; the first line names the columns.
//!
//! ```no_run
//! use serde::Deserialize;
//! use trainloop::data::{TensorDataset, csv};
//!
//! # fn main() -> trainloop::Result<()> {
//! let table = csv::read("flowers.csv")?;
//! let inputs = table.matrix::<f32>(&["sepal_length", "petal_length"])?; // [lines, 2]
//! let (labels, species) = table.classes("species")?; // [lines], and the classes' names
//! let flowers = TensorDataset::new([inputs, labels])?;
//!
//! #[derive(Deserialize)]
//! struct Flower { sepal_length: f32, petal_length: f32, species: String }
//! let flowers: Vec<Flower> = csv::rows("flowers.csv")?;
//! # Ok(())
//! # }
//! ```

use std::any::type_name;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ::csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};
use serde::de::DeserializeOwned;
use tch::Tensor;
use tch::kind::Element;

use super::classes::classes_of;
use crate::error::{Error, Result};

/// Reads the file at `path`, with commas, and with the columns' names in its first line.
///
/// # Errors
/// As [`CsvReader::table`].
pub fn read(path: impl AsRef<Path>) -> Result<Table> {
    CsvReader::new().table(path)
}

/// The lines of the file at `path`, each as an `R`: its fields are the columns of their names.
///
/// # Errors
/// As [`CsvReader::rows`].
pub fn rows<R: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Vec<R>> {
    CsvReader::new().rows(path)
}

/// How a file is to be read.
#[derive(Debug, Clone)]
pub struct CsvReader {
    delimiter: u8,
    header: bool,
}

impl Default for CsvReader {
    fn default() -> Self {
        Self { delimiter: b',', header: true }
    }
}

impl CsvReader {
    /// Commas between fields; the first line names the columns.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What stands between fields, such as `b';'` or `b'\t'`.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// The first line is data; the columns are named `0`, `1`, `2`, ….
    #[must_use]
    pub fn without_header(mut self) -> Self {
        self.header = false;
        self
    }

    /// All lines of the file at `path`, in memory.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::DataFile`], with the line, where lines have different numbers of
    /// fields or are no UTF-8, where two columns have one name, and where there is no line at all.
    pub fn table(&self, path: impl AsRef<Path>) -> Result<Table> {
        let path = path.as_ref();
        let mut reader = self.open(path)?;
        let mut columns = self.columns(path, &mut reader)?;
        let mut lines = Vec::new();
        for record in reader.records() {
            lines.push(record.map_err(|error| self.refused(path, &columns, error))?);
        }
        if !self.header {
            let width = lines.first().map_or(0, StringRecord::len);
            columns = (0..width).map(|column| column.to_string()).collect();
        }
        Ok(Table { path: path.to_owned(), columns, lines })
    }

    /// The lines of the file at `path`, each as an `R`. A struct's fields are the columns of their names, in any order, and
    /// other columns are passed over; an empty field is `None` of an `Option`. Without a header `R` is a tuple, an array, or
    /// a struct whose fields are in the columns' order.
    ///
    /// # Errors
    /// As [`table`](Self::table); [`Error::DataFile`], with line and column, where a field is not of its type.
    pub fn rows<R: DeserializeOwned>(&self, path: impl AsRef<Path>) -> Result<Vec<R>> {
        let path = path.as_ref();
        let mut reader = self.open(path)?;
        let columns = self.columns(path, &mut reader)?;
        let rows = reader.deserialize();
        rows.map(|row| row.map_err(|error| self.refused(path, &columns, error))).collect()
    }

    fn open(&self, path: &Path) -> Result<::csv::Reader<File>> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let mut builder = ReaderBuilder::new();
        builder.delimiter(self.delimiter).has_headers(self.header).trim(Trim::All);
        Ok(builder.from_reader(file))
    }

    /// The names in the first line; none without a header.
    fn columns(&self, path: &Path, reader: &mut ::csv::Reader<File>) -> Result<Vec<String>> {
        if !self.header {
            return Ok(Vec::new());
        }
        let header = reader.headers().map_err(|error| self.refused(path, &[], error))?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = header.iter().find(|name| !seen.insert(*name)) {
            return Err(Error::data_file(path, format!("line 1: two columns are called `{twice}`; rename one")));
        }
        if header.is_empty() {
            return Err(Error::data_file(path, "there is no line in it; the first one names the columns"));
        }
        Ok(header.iter().map(str::to_owned).collect())
    }

    fn refused(&self, path: &Path, columns: &[String], error: ::csv::Error) -> Error {
        let line = error.position().map_or(0, ::csv::Position::line);
        match error.into_kind() {
            ErrorKind::Io(source) => Error::Io { action: "read", path: path.to_owned(), source },
            ErrorKind::Utf8 { err, .. } => {
                let place = place(line, columns, Some(err.field()));
                Error::data_file(path, format!("{place}: no UTF-8; save the file in that encoding"))
            }
            ErrorKind::UnequalLengths { expected_len, len, .. } => Error::data_file(
                path,
                format!(
                    "line {line}: {len} fields where the first line has {expected_len}; is `{}` what stands between them?",
                    char::from(self.delimiter)
                ),
            ),
            ErrorKind::Deserialize { err, .. } => {
                let field = err.field().map(|field| field as usize);
                Error::data_file(path, format!("{}: {}", place(line, columns, field), err.kind()))
            }
            other => Error::data_file(path, format!("line {line}: {other:?}")),
        }
    }
}

/// Such as line 3, column `petal_length`.
fn place(line: u64, columns: &[String], field: Option<usize>) -> String {
    match field {
        None => format!("line {line}"),
        Some(field) => match columns.get(field) {
            Some(name) => format!("line {line}, column `{name}`"),
            None => format!("line {line}, column {field}"),
        },
    }
}

/// A file's lines, in memory.
#[derive(Debug, Clone)]
pub struct Table {
    path: PathBuf,
    columns: Vec<String>,
    lines: Vec<StringRecord>,
}

impl Table {
    /// The columns' names, in their order.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// How many lines there are, without the header.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// True if there is no line but the header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A column's numbers, `[lines]`, of the dtype of `T`: `f32`, `i64`, `bool` (`true` and `false`), ….
    ///
    /// # Errors
    /// [`Error::DataFile`] where there is no such column, or a field is no `T`, with its line.
    pub fn column<T: Element + FromStr>(&self, name: &str) -> Result<Tensor> {
        let column = self.place_of(name)?;
        let numbers = self.lines.iter().map(|line| self.number::<T>(line, column)).collect::<Result<Vec<T>>>()?;
        Ok(Tensor::f_from_slice(&numbers)?)
    }

    /// Several columns' numbers, `[lines, columns]`, of the dtype of `T`.
    ///
    /// # Errors
    /// As [`column`](Self::column).
    pub fn matrix<T: Element + FromStr>(&self, names: &[&str]) -> Result<Tensor> {
        let columns = names.iter().map(|name| self.place_of(name)).collect::<Result<Vec<_>>>()?;
        let mut numbers = Vec::with_capacity(self.lines.len() * columns.len());
        for line in &self.lines {
            for &column in &columns {
                numbers.push(self.number::<T>(line, column)?);
            }
        }
        Ok(Tensor::f_from_slice(&numbers)?.f_view([self.lines.len() as i64, columns.len() as i64])?)
    }

    /// A column's texts.
    ///
    /// # Errors
    /// [`Error::DataFile`] where there is no such column.
    pub fn texts(&self, name: &str) -> Result<Vec<&str>> {
        let column = self.place_of(name)?;
        Ok(self.lines.iter().map(|line| line.get(column).unwrap_or_default()).collect())
    }

    /// A column's texts as classes: the number of each line's, `[lines]` of int64, and the classes' names, sorted.
    ///
    /// # Errors
    /// [`Error::DataFile`] where there is no such column.
    pub fn classes(&self, name: &str) -> Result<(Tensor, Vec<String>)> {
        classes_of(&self.texts(name)?)
    }

    fn place_of(&self, name: &str) -> Result<usize> {
        self.columns.iter().position(|column| column == name).ok_or_else(|| {
            let all = self.columns.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            Error::data_file(&self.path, format!("there is no column `{name}` (there is: {all})"))
        })
    }

    fn number<T: FromStr>(&self, line: &StringRecord, column: usize) -> Result<T> {
        let text = line.get(column).unwrap_or_default();
        text.parse().map_err(|_| {
            let place = place(line.position().map_or(0, ::csv::Position::line), &self.columns, Some(column));
            let said = if text.is_empty() { "the field is empty".to_owned() } else { format!("`{text}`") };
            Error::data_file(&self.path, format!("{place}: {said}, and not a number of type {}", type_name::<T>()))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use tch::Kind;

    use super::*;

    const FLOWERS: &str =
        "sepal, petal,species\n5.1,1.4,setosa\n7.0, 4.7 ,\"versi\ncolor\"\n6.3,6.0,virginica\n4.9,1.4,setosa\n";

    fn file(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flowers.csv");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn refused<T>(result: Result<T>) -> String {
        let Err(error) = result else { panic!("it was taken") };
        crate::error::with_causes(&error)
    }

    #[test]
    fn columns_become_tensors() {
        let (_folder, path) = file(FLOWERS.as_bytes());
        let table = read(&path).unwrap();
        assert_eq!((table.columns(), table.len()), (["sepal", "petal", "species"].map(str::to_owned).as_slice(), 4));
        let matrix = table.matrix::<f64>(&["petal", "sepal"]).unwrap();
        assert_eq!((matrix.size(), matrix.kind()), (vec![4, 2], Kind::Double));
        let flat = Vec::<f64>::try_from(matrix.flatten(0, -1)).unwrap();
        assert_eq!(flat, [1.4, 5.1, 4.7, 7.0, 6.0, 6.3, 1.4, 4.9]);
        let (classes, names) = table.classes("species").unwrap();
        assert_eq!(names, ["setosa", "versi\ncolor", "virginica"]);
        assert_eq!(Vec::<i64>::try_from(classes).unwrap(), [0, 1, 2, 0]);
        assert_eq!(table.column::<f32>("sepal").unwrap().kind(), Kind::Float);
    }

    #[test]
    fn a_file_without_a_header_and_with_semicolons() {
        let (_folder, path) = file(b"1;true\n-2;false\n");
        let reader = CsvReader::new().delimiter(b';').without_header();
        let table = reader.table(&path).unwrap();
        assert_eq!(Vec::<i64>::try_from(table.column::<i64>("0").unwrap()).unwrap(), [1, -2]);
        assert_eq!(Vec::<bool>::try_from(table.column::<bool>("1").unwrap()).unwrap(), [true, false]);
        assert_eq!(reader.rows::<(i8, bool)>(&path).unwrap(), [(1, true), (-2, false)]);
    }

    #[derive(Deserialize, Debug, PartialEq)]
    struct Flower {
        species: String,
        petal: Option<f32>,
    }

    #[test]
    fn lines_become_values() {
        let (_folder, path) = file(b"sepal,petal,species\n5.1,1.4,setosa\n7.0,,versicolor\n");
        let expected = [("setosa", Some(1.4)), ("versicolor", None)];
        let expected = expected.map(|(species, petal)| Flower { species: species.to_owned(), petal });
        assert_eq!(rows::<Flower>(&path).unwrap(), expected);
    }

    /// The third line of data begins on the file's fifth line, since the second has a line break in quotes.
    #[test]
    fn mistakes_are_told_with_file_line_and_column() {
        let wrong = FLOWERS.replace("6.0", "six");
        let (_folder, path) = file(wrong.as_bytes());
        let table = read(&path).unwrap();
        let error = refused(table.matrix::<f32>(&["sepal", "petal"]));
        let place = format!("{}: line 5, column `petal`", path.display());
        assert_eq!(error, format!("{place}: `six`, and not a number of type f32"));
        let error = refused(rows::<Flower>(&path));
        assert!(error.starts_with(&place) && error.contains("invalid float"), "{error}");
        let error = refused(table.column::<f32>("petals"));
        assert!(error.contains("no column `petals` (there is: `sepal`, `petal`, `species`)"), "{error}");
        let error = refused(table.column::<i64>("sepal"));
        assert!(error.contains("line 2, column `sepal`: `5.1`, and not a number of type i64"), "{error}");
    }

    #[test]
    fn files_that_are_none_are_refused() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "there is no line in it"),
            (b"a,b,a\n1,2,3\n", "line 1: two columns are called `a`"),
            (b"a,b\n1,2\n1,2,3\n", "line 3: 3 fields where the first line has 2"),
            (b"a,b\n1,\xff\n", "line 2, column `b`: no UTF-8"),
            (b"a\n1\n\n2\n", ""),
        ];
        for (text, expected) in cases {
            let (_folder, path) = file(text);
            match read(&path) {
                Ok(table) => assert_eq!((expected, table.len()), ("", 2), "an empty line is none"),
                Err(error) => assert!(!expected.is_empty() && error.to_string().contains(expected), "{error}"),
            }
        }
        let error = refused(read("nowhere.csv"));
        assert!(error.contains("cannot open nowhere.csv"), "{error}");
        let (_folder, path) = file(b"a,b\n1,2\n");
        let error = refused(rows::<Flower>(&path));
        assert!(error.contains("line 2: missing field `species`"), "{error}");
    }
}
