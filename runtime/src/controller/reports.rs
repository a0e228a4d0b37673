//! Every rank's reports: kept as JSON lines, and put together into rounds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use trainloop_checkpoint::unix_now;

use super::records::Encoded;
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

/// So many bytes of lines are handed to the system at once.
const BUFFER: usize = 256 * 1024;

/// Collects reports. What one rank reports ahead of the others waits here.
pub(crate) struct Reports {
    path: PathBuf,
    file: BufWriter<File>,
    /// The line that is being made.
    line: Vec<u8>,
    world_size: usize,
    generation: u64,
    waiting: BTreeMap<u64, Round>,
    /// The number of the next report that all ranks will have made.
    next: u64,
    reduce: Reduce,
}

/// One report of all ranks, as far as they have made it.
struct Round {
    /// Each rank's metrics.
    metrics: Vec<Option<Vec<u8>>>,
    /// How many ranks have not made it.
    missing: usize,
}

/// A line of the file.
#[derive(Serialize)]
struct Line<'a> {
    report: u64,
    rank: usize,
    world_size: usize,
    generation: u64,
    unix_time: f64,
    metrics: Encoded<'a>,
}

impl Reports {
    /// Opens the file for a generation whose first report is number `first`.
    pub(crate) fn open(path: &Path, world_size: usize, generation: u64, first: u64, reduce: Reduce) -> Result<Self> {
        let file = open_whole(path).map_err(Error::io("open", path))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(BUFFER, file),
            line: Vec::new(),
            world_size,
            generation,
            waiting: BTreeMap::new(),
            next: first,
            reduce,
        })
    }

    /// Takes one rank's report; gives the run's reduced metrics where it completes a round.
    pub(crate) fn add(&mut self, rank: usize, index: u64, metrics: Vec<u8>) -> Result<Option<Reduced>> {
        self.write(rank, index, &metrics)?;
        let world_size = self.world_size;
        let round =
            self.waiting.entry(index).or_insert_with(|| Round { metrics: vec![None; world_size], missing: world_size });
        if round.metrics[rank].replace(metrics).is_none() {
            round.missing -= 1;
        }
        if round.missing > 0 {
            return Ok(None);
        }
        let whole = self.waiting.remove(&index).map(|round| round.metrics).unwrap_or_default();
        let metrics: Vec<_> = whole.into_iter().flatten().collect();
        self.next = index + 1;
        (self.reduce)(&metrics).map(Some)
    }

    fn write(&mut self, rank: usize, index: u64, metrics: &[u8]) -> Result<()> {
        let line = Line {
            report: index,
            rank,
            world_size: self.world_size,
            generation: self.generation,
            unix_time: unix_now(),
            metrics: Encoded(metrics),
        };
        self.line.clear();
        serde_json::to_writer(&mut self.line, &line)
            .map_err(|error| Error::serde("read the metrics of a report", error))?;
        self.line.push(b'\n');
        self.file.write_all(&self.line).map_err(Error::io("write", &self.path))
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
    use std::cell::RefCell;
    use std::rc::Rc;

    use serde_json::json;

    use super::*;
    use crate::channel::{decode, encode};
    use crate::metric::Ranks;
    use crate::metric::reduce::{first, last, max, mean, min, sum};

    type Rounds = Rc<RefCell<Vec<Vec<f64>>>>;

    /// Reports of a generation of `world_size` whose metrics are one number, and the rounds that come of them.
    fn reports(path: &Path, world_size: usize) -> (Reports, Rounds) {
        let rounds = Rounds::default();
        let seen = Rc::clone(&rounds);
        let reduce: Reduce = Box::new(move |round| {
            let values: Vec<f64> = round.iter().map(|bytes| decode(bytes, "test").unwrap()).collect();
            seen.borrow_mut().push(values);
            Ok(Reduced { shown: Value::Null, score: None })
        });
        (Reports::open(path, world_size, 2, 5, reduce).unwrap(), rounds)
    }

    fn number(value: f64) -> Vec<u8> {
        encode(&value, "test").unwrap()
    }

    #[test]
    fn a_round_is_whole_with_its_last_rank_whatever_came_in_between() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (mut reports, rounds) = reports(file.path(), 3);
        let mut add = |rank, index, value| reports.add(rank, index, number(value)).unwrap().is_some();
        // Rank 2 is a report ahead, and rank 0 says one thing twice: the later word counts, and it is one rank's.
        let whole = [add(2, 5, 2.5), add(2, 6, 2.6), add(0, 5, 9.0), add(0, 5, 0.5), add(1, 5, 1.5)];
        assert_eq!(whole, [false, false, false, false, true]);
        assert_eq!((reports.next(), reports.is_begun(5), reports.is_begun(6)), (6, false, true));
        let mut add = |rank, index, value| reports.add(rank, index, number(value)).unwrap().is_some();
        assert_eq!([add(1, 6, 1.6), add(0, 6, 0.6)], [false, true]);
        assert_eq!(*rounds.borrow(), [[0.5, 1.5, 2.5], [0.6, 1.6, 2.6]]);
    }

    #[test]
    fn a_line_is_what_the_rank_reported() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (mut reports, _) = reports(file.path(), 3);
        // As the derive encodes a struct: a map with the fields' names.
        let metrics =
            json!({"epoch": 3, "loss": 0.1 + 0.2, "name": "\u{fc}\n\"", "none": null, "ok": true, "list": [-1, 2.0]});
        reports.add(1, 7, encode(&metrics, "test").unwrap()).unwrap();
        reports.add(2, 7, number(f64::NEG_INFINITY)).unwrap();
        reports.flush().unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        // But for the time.
        let lines: Vec<String> = text
            .lines()
            .map(|line| {
                let (before, rest) = line.split_once(r#""unix_time":"#).unwrap();
                format!("{before}{}", rest.split_once(',').unwrap().1)
            })
            .collect();
        let expected = [
            r#"{"report":7,"rank":1,"world_size":3,"generation":2,"metrics":{"epoch":3,"loss":0.30000000000000004,"name":"ü\n\"","none":null,"ok":true,"list":[-1,2.0]}}"#,
            r#"{"report":7,"rank":2,"world_size":3,"generation":2,"metrics":"-Infinity"}"#,
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_is_no_message_pack_is_an_error_and_no_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (mut reports, _) = reports(file.path(), 2);
        let error = reports.add(0, 5, vec![0xc1]).err().unwrap().to_string();
        assert!(error.contains("read the metrics of a report"), "{error}");
        reports.flush().unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), b"");
    }

    /// The bits are those of sums from rank 0 on, whichever rank came last.
    #[test]
    fn values_are_reduced_in_the_order_of_ranks() {
        let values = [1.0e16, 1.0, -1.0e16, 0.1, -0.0, 5.0e-324, 3.0e15];
        let file = tempfile::NamedTempFile::new().unwrap();
        for come in [[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0], [3, 1, 6, 0, 2, 5, 4]] {
            let (mut reports, rounds) = reports(file.path(), values.len());
            for rank in come {
                reports.add(rank, 5, number(values[rank])).unwrap();
            }
            let round = Ranks::new(rounds.take().remove(0)).unwrap();
            let reduced = [
                mean(&round, |value| *value),
                sum(&round, |value| *value),
                min(&round, |value| *value),
                max(&round, |value| *value),
                first(&round, |value| value),
                last(&round, |value| value),
            ];
            let bits = [
                0x42f8_5c88_fc2c_9249,
                0x4325_50f7_dca7_0000,
                0xc341_c379_37e0_8000,
                0x4341_c379_37e0_8000,
                0x4341_c379_37e0_8000,
                0x4325_50f7_dca7_0000,
            ];
            assert_eq!(reduced.map(f64::to_bits), bits, "{come:?}: {reduced:?}");
        }
    }

    #[test]
    fn an_unfinished_line_is_cut_off() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"report\":0}\n{\"rep").unwrap();
        writeln!(open_whole(file.path()).unwrap(), "{{}}").unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "{\"report\":0}\n{}\n");
    }
}
