//! Every rank's reports: kept as JSON lines, and put together into rounds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trainloop_checkpoint::unix_now;

use super::records::record;
use crate::error::{Error, Result};

/// The *n*-th reports of all ranks, as one.
pub(crate) struct Reduced {
    /// The run's value, as a record.
    pub(crate) shown: Value,
    /// What checkpoints are ranked by, if they are.
    pub(crate) score: Option<f64>,
}

/// Takes the *n*-th reports of all ranks, rank 0's first, as they came.
pub(crate) type Reduce = Box<dyn FnMut(&[Vec<u8>]) -> Result<Reduced>>;

/// Collects reports. What one rank reports ahead of the others waits here.
pub(crate) struct Reports {
    path: PathBuf,
    file: BufWriter<File>,
    world_size: usize,
    generation: u64,
    waiting: BTreeMap<u64, Vec<Option<Vec<u8>>>>,
    /// The number of the next report that all ranks will have made.
    next: u64,
    reduce: Reduce,
}

impl Reports {
    /// Opens the file for a generation whose first report is number `first`.
    pub(crate) fn open(path: &Path, world_size: usize, generation: u64, first: u64, reduce: Reduce) -> Result<Self> {
        let file = open_whole(path).map_err(Error::io("open", path))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            world_size,
            generation,
            waiting: BTreeMap::new(),
            next: first,
            reduce,
        })
    }

    /// Takes one rank's report; gives the run's reduced metrics where it completes a round.
    pub(crate) fn add(&mut self, rank: usize, index: u64, metrics: Vec<u8>) -> Result<Option<Reduced>> {
        let line = json!({
            "report": index,
            "rank": rank,
            "world_size": self.world_size,
            "generation": self.generation,
            "unix_time": unix_now(),
            "metrics": record(&metrics)?,
        });
        writeln!(self.file, "{line}").map_err(Error::io("write", &self.path))?;

        let world_size = self.world_size;
        let round = self.waiting.entry(index).or_insert_with(|| vec![None; world_size]);
        round[rank] = Some(metrics);
        if round.iter().any(Option::is_none) {
            return Ok(None);
        }
        let metrics: Vec<_> = self.waiting.remove(&index).unwrap_or_default().into_iter().flatten().collect();
        self.next = index + 1;
        (self.reduce)(&metrics).map(Some)
    }

    /// True if some ranks have made this report, and not all.
    pub(crate) fn is_begun(&self, index: u64) -> bool {
        self.waiting.contains_key(&index)
    }

    /// The number of the next report that all ranks will have made: so many they have made.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Hands what is buffered to the system.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("write", &self.path))
    }
}

/// Opens for appending; a line that a killed driver left unfinished is cut off.
pub(crate) fn open_whole(path: &Path) -> std::io::Result<File> {
    let file = File::options().create(true).append(true).open(path)?;
    let text = std::fs::read(path)?;
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        file.set_len(whole as u64)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_line_is_cut_off() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"report\":0}\n{\"rep").unwrap();
        writeln!(open_whole(file.path()).unwrap(), "{{}}").unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "{\"report\":0}\n{}\n");
    }
}
