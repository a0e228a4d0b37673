//! Every rank's reports: kept as JSON lines, and put together into rounds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::records::record;
use crate::error::{Error, Result};
use crate::trainer::unix_now;

/// Takes the *n*-th reports of all ranks, rank 0's first, as they came; gives the run's value for the eye.
pub(crate) type Reduce = Box<dyn FnMut(&[Vec<u8>]) -> Result<Value>>;

/// Collects reports. What one rank reports ahead of the others waits here.
pub(crate) struct Reports {
    path: PathBuf,
    file: BufWriter<File>,
    world_size: usize,
    generation: u64,
    waiting: BTreeMap<u64, Vec<Option<Vec<u8>>>>,
    rounds: u64,
    reduce: Reduce,
}

impl Reports {
    pub(crate) fn create(path: &Path, world_size: usize, generation: u64, reduce: Reduce) -> Result<Self> {
        let file = File::options().create(true).append(true).open(path).map_err(Error::io("create", path))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            world_size,
            generation,
            waiting: BTreeMap::new(),
            rounds: 0,
            reduce,
        })
    }

    /// Takes one rank's report; gives the run's reduced metrics where it completes a round.
    pub(crate) fn add(&mut self, rank: usize, index: u64, metrics: Vec<u8>) -> Result<Option<(u64, Value)>> {
        let line = json!({
            "report": index,
            "rank": rank,
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
        self.rounds += 1;
        let reduced = (self.reduce)(&metrics)?;
        Ok(Some((index, reduced)))
    }

    /// How many reports all ranks have made.
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Hands what is buffered to the system.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("write", &self.path))
    }
}
