//! What each rank of the program `chaos` did, over all its starts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Result, WORKERS};

/// One rank's trace so far.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// The indices of each batch, the first at 0; what was done again after a start counts as done then.
    pub(super) batches: Vec<Vec<u64>>,
    /// The highest batch that a committed checkpoint has seen, as the rank was told.
    pub(super) committed: u64,
    /// How often the loop began.
    pub(super) starts: usize,
    /// Starts from before what had been committed.
    pub(super) set_back: usize,
    /// Batches of which a start has left a gap, or done one twice.
    pub(super) out_of_order: usize,
    /// Batches in the present start.
    pub(super) since_start: u64,
    /// The process of the present start.
    pub(super) pid: u32,
    /// When the first batch of all was done, the first of the present start, and the last: in seconds since 1970.
    pub(super) first_at: Option<f64>,
    pub(super) back_at: Option<f64>,
    pub(super) last_at: Option<f64>,
    /// Checkpoints committed in the present start.
    pub(super) commits: usize,
}

impl Trace {
    pub(super) fn read(folder: &Path, name: &str, rank: usize) -> Result<Self> {
        let path = folder.join(format!("{name}-trace-{rank}.jsonl"));
        // Before the first start there is none.
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut trace = Self::default();
        // The last line may be on its way.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            trace.take(&serde_json::from_str(line)?);
        }
        Ok(trace)
    }

    pub(super) fn of_all_ranks(folder: &Path, name: &str) -> Result<Vec<Self>> {
        (0..WORKERS).map(|rank| Self::read(folder, name, rank)).collect()
    }

    fn take(&mut self, line: &Value) {
        if let Some(after) = line["begins_after"].as_u64() {
            self.starts += 1;
            self.since_start = 0;
            self.pid = line["pid"].as_u64().unwrap_or_default() as u32;
            (self.back_at, self.commits) = (None, 0);
            self.set_back += usize::from(after < self.committed);
            self.out_of_order += usize::from(after > self.batches.len() as u64);
            self.batches.truncate(after as usize);
        } else if let Some(batch) = line["batch"].as_u64() {
            self.out_of_order += usize::from(batch != self.batches.len() as u64 + 1);
            self.since_start += 1;
            let at = line["at"].as_f64();
            (self.first_at, self.back_at, self.last_at) = (self.first_at.or(at), self.back_at.or(at), at);
            let indices = line["indices"].as_array().into_iter().flatten();
            self.batches.push(indices.filter_map(Value::as_u64).collect());
        } else if let Some(committed) = line["committed"].as_u64() {
            self.committed = self.committed.max(committed);
            self.commits += 1;
        }
    }
}

/// A trace that is read as it grows.
pub(super) struct Growing {
    path: PathBuf,
    read: u64,
    pub(super) trace: Trace,
    /// The last whole line.
    pub(super) last: String,
}

impl Growing {
    pub(super) fn new(folder: &Path, name: &str, rank: usize) -> Self {
        let path = folder.join(format!("{name}-trace-{rank}.jsonl"));
        Self { path, read: 0, trace: Trace::default(), last: String::new() }
    }

    /// Takes the lines that have come; false where there are none.
    pub(super) fn advance(&mut self) -> Result<bool> {
        // Before the first start there is no file.
        let Ok(mut file) = File::open(&self.path) else { return Ok(false) };
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let before = self.read;
        // The last line may be on its way.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            self.trace.take(&serde_json::from_str(line)?);
            self.read += line.len() as u64;
            line.trim_end().clone_into(&mut self.last);
        }
        Ok(self.read > before)
    }
}

/// How many samples `whole` has at places of batches where `other` has none, or another one.
pub(super) fn missing(whole: &[&Trace], other: &[&Trace]) -> usize {
    let of_rank = |(whole, other): (&&Trace, &&Trace)| -> usize {
        let of_batch = |(number, batch): (usize, &Vec<u64>)| {
            let found = other.batches.get(number).map_or([].as_slice(), Vec::as_slice);
            batch.iter().enumerate().filter(|(place, index)| found.get(*place) != Some(index)).count()
        };
        whole.batches.iter().enumerate().map(of_batch).sum()
    };
    whole.iter().zip(other).map(of_rank).sum()
}

/// The bytes of every file of a checkpoint but its manifest.
pub(super) fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(here) = folders.pop() {
        for entry in fs::read_dir(here)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != trainloop_checkpoint::MANIFEST) {
                found.insert(path.strip_prefix(folder)?.to_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trace(lines: &[Value]) -> Trace {
        let mut trace = Trace::default();
        for line in lines {
            trace.take(line);
        }
        trace
    }

    #[test]
    fn what_is_done_again_counts_once_and_a_gap_is_seen() {
        let batch = |number: u64, indices: [u64; 2]| json!({"batch": number, "indices": indices});
        let begins = |after: u64| json!({"begins_after": after});
        let whole = trace(&[begins(0), batch(1, [4, 2]), batch(2, [0, 3]), batch(3, [1, 5])]);
        let killed = [begins(0), batch(1, [4, 2]), json!({"committed": 1}), batch(2, [0, 3]), begins(1)];
        let good = trace(&[&killed[..], &[batch(2, [0, 3]), batch(3, [1, 5])]].concat());
        assert_eq!((missing(&[&whole], &[&good]), 0), (0, 0));

        let whole = || trace(&[begins(0), batch(1, [4, 2]), batch(2, [0, 3]), batch(3, [1, 5])]);
        let repeated = trace(&[&killed[..], &[batch(2, [4, 3]), batch(3, [1, 5])]].concat());
        assert_eq!((missing(&[&whole()], &[&repeated]), 0), (1, 0));
        let gap = trace(&[&killed[..], &[batch(3, [1, 5])]].concat());
        assert_eq!(gap.out_of_order, 1);
        assert_eq!(missing(&[&whole()], &[&gap]), 4);
        let set_back = trace(&[&killed[..4], &[begins(0)]].concat());
        assert_eq!((set_back.set_back, set_back.starts), (1, 2));
    }
}
