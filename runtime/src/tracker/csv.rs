//! Metrics as a table.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use trainloop_checkpoint::unix_now;

use super::{Logged, Rewind, Tracker};
use crate::callback::RunInfo;
use crate::error::{Error, Result};
use crate::trainer::write_whole;

/// A row for each report and each [`ctx.log`](crate::worker::Context::log): `metrics.csv` in the run's folder.
///
/// ```text
/// step,report,unix_time,train/loss,loss
/// 10,,1764338400.25,0.5,
/// 10,0,1764338401.5,,0.5
/// ```
///
/// A metric that comes up later is a new last column, for which the file is written anew; one that is called as one of the
/// first three has the column `metrics/step`. Where a run goes on from a
/// checkpoint, the rows past it are cut off. Floats that are no numbers are `NaN`, `Infinity`, `-Infinity`.
#[derive(Debug, Default)]
pub struct Csv {
    chosen: Option<PathBuf>,
    path: PathBuf,
    columns: Vec<String>,
    file: Option<File>,
}

/// The columns of every table.
const FIRST: [&str; 3] = ["step", "report", "unix_time"];

impl Csv {
    /// In the run's folder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// In that file. A run in object storage has its folder in the user's cache, so there this is the way to a place of one's
    /// own.
    #[must_use]
    pub fn file(mut self, file: impl Into<PathBuf>) -> Self {
        self.chosen = Some(file.into());
        self
    }

    /// Columns and rows of the file; a row that a killed driver left unfinished is left out.
    fn read(&self) -> Result<(Vec<String>, Vec<StringRecord>)> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io("read", &self.path)(error)),
        };
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let damaged = |error: csv::Error| Error::data_file(&self.path, format!("it is no table: {error}"));
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(&bytes[..whole]);
        let columns: Vec<String> = reader.headers().map_err(damaged)?.iter().map(str::to_owned).collect();
        if !columns.is_empty() && !columns.iter().map(String::as_str).take(3).eq(FIRST) {
            return Err(Error::data_file(&self.path, "it is a table of something else; choose another file"));
        }
        let rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(damaged)?;
        Ok((columns.clone(), rows.into_iter().filter(|row| row.len() == columns.len()).collect()))
    }

    /// Writes the file anew, and opens it to be gone on with.
    fn write(&mut self, rows: &[StringRecord]) -> Result<()> {
        let mut text = row(&self.columns)?;
        for record in rows {
            let missing = self.columns.len() - record.len();
            text.extend(row(record.iter().chain(std::iter::repeat_n("", missing)))?);
        }
        write_whole(&self.path, &text)?;
        self.open()
    }

    fn open(&mut self) -> Result<()> {
        self.file = Some(File::options().append(true).open(&self.path).map_err(Error::io("open", &self.path))?);
        Ok(())
    }
}

/// The column of a metric.
fn column(name: &str) -> String {
    if FIRST.contains(&name) { format!("metrics/{name}") } else { name.to_owned() }
}

/// A row's text.
fn row<T: AsRef<[u8]>>(fields: impl IntoIterator<Item = T>) -> Result<Vec<u8>> {
    let failed = |error: &dyn std::fmt::Display| Error::serde("write a row of metrics", error);
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(fields).map_err(|error| failed(&error))?;
    writer.into_inner().map_err(|error| failed(&error))
}

impl Tracker for Csv {
    fn name(&self) -> &'static str {
        "CSV"
    }

    fn start(&mut self, run: &RunInfo) -> Result<()> {
        self.path = self.chosen.clone().unwrap_or_else(|| run.path.join("metrics.csv"));
        let (columns, rows) = self.read()?;
        self.columns = if columns.is_empty() { FIRST.map(str::to_owned).to_vec() } else { columns };
        self.write(&rows)
    }

    fn rewind(&mut self, mut to: Rewind) -> Result<()> {
        let (_, rows) = self.read()?;
        let count = rows.len();
        let mut kept = Vec::new();
        for (number, row) in (1..).zip(rows) {
            let report = match row.get(1) {
                None | Some("") => None,
                Some(text) => Some(text.parse::<u64>().map_err(|error| {
                    Error::data_file(&self.path, format!("the report {text:?} of row {number} is no number: {error}"))
                })?),
            };
            if to.keeps(report) {
                kept.push(row);
            }
        }
        if kept.len() < count { self.write(&kept) } else { Ok(()) }
    }

    fn log(&mut self, logged: &Logged) -> Result<()> {
        let known = self.columns.len();
        let values: HashMap<String, String> =
            logged.iter().map(|(name, value)| (column(name), value.to_string())).collect();
        for name in logged.iter().map(|(name, _)| column(name)) {
            if !self.columns.contains(&name) {
                self.columns.push(name);
            }
        }
        if self.columns.len() > known {
            let (_, rows) = self.read()?;
            self.write(&rows)?;
        }
        let report = logged.report().map(|report| report.to_string()).unwrap_or_default();
        let mut fields = vec![logged.step().to_string(), report, unix_now().to_string()];
        let metrics = &self.columns[FIRST.len()..];
        fields.extend(metrics.iter().map(|name| values.get(name).cloned().unwrap_or_default()));
        let text = row(&fields)?;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(&text).map_err(Error::io("write", &self.path))
    }

    fn finish(&mut self) -> Result<()> {
        self.file = None;
        Ok(())
    }
}
