//! Every report of a run, read back from its `reports.jsonl`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::metric::{Metrics, Ranks};

#[derive(Deserialize)]
struct Line {
    report: u64,
    rank: usize,
    world_size: usize,
    generation: u64,
    metrics: Value,
}

/// All ranks' metrics of one report, each rank's at its place.
type Round = (u64, Vec<Option<Value>>);

/// The reports that all ranks made, in their order. A report that was made again, after a restart from a checkpoint before
/// it, counts as it was made last.
pub(super) fn rounds<M: Metrics>(path: &Path) -> Result<Vec<Ranks<M>>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let mut rounds: BTreeMap<u64, Round> = BTreeMap::new();
    // The last generation so far, and its lowest report.
    let mut last = (0, u64::MAX);
    // What has no line end was being written when its driver was killed.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for (number, line) in whole.lines().enumerate() {
        let line: Line = serde_json::from_str(line)
            .map_err(|error| Error::checkpoint(format!("{} line {}: {error}", path.display(), number + 1)))?;
        // A later generation begins again after its checkpoint: what came after that is no longer so.
        if line.generation > last.0 || (line.generation == last.0 && line.report < last.1) {
            rounds.retain(|&report, (generation, _)| report < line.report || *generation >= line.generation);
            last = (line.generation, line.report);
        }
        let (_, ranks) = rounds.entry(line.report).or_insert_with(|| (line.generation, vec![None; line.world_size]));
        if let Some(place) = ranks.get_mut(line.rank) {
            *place = Some(line.metrics);
        }
    }
    let whole = rounds.into_values().filter_map(|(_, ranks)| ranks.into_iter().collect::<Option<Vec<_>>>());
    whole
        .filter(|ranks| !ranks.is_empty())
        .map(|ranks| {
            let ranks = ranks.into_iter().map(M::from_record).collect::<Result<Vec<M>>>()?;
            Ranks::new(ranks).ok_or_else(|| Error::checkpoint("a report of no rank"))
        })
        .collect()
}

/// [`rounds`], each reduced.
pub(super) fn reduced<M: Metrics>(path: &Path) -> Result<Vec<M>> {
    Ok(rounds(path)?.iter().map(Ranks::reduce).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde::Serialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Number(u64);

    impl Metrics for Number {
        fn reduce(ranks: &Ranks<Self>) -> Self {
            Self(ranks.iter().map(|number| number.0).sum())
        }
    }

    /// The generations of two ranks, each line one's report: (generation, rank, report, what).
    fn of(lines: &[(u64, usize, u64, u64)]) -> Vec<u64> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for (generation, rank, report, metrics) in lines {
            let line = serde_json::json!({
                "report": report, "rank": rank, "world_size": 2, "generation": generation, "metrics": metrics,
            });
            writeln!(file, "{line}").unwrap();
        }
        reduced::<Number>(file.path()).unwrap().into_iter().map(|number| number.0).collect()
    }

    #[test]
    fn what_a_later_generation_made_again_counts_as_it_was_made_last() {
        let first = [(1, 0, 0, 1), (1, 1, 0, 10), (1, 0, 1, 2), (1, 0, 2, 3), (1, 1, 1, 20), (1, 1, 2, 30)];
        assert_eq!(of(&first), [11, 22, 33]);
        // Rank 1 is ahead of rank 0 in coming back, and the last report of the first generation is not made again.
        let again = [(2, 1, 2, 300), (2, 1, 1, 200), (2, 0, 1, 100)];
        assert_eq!(of(&[first.as_slice(), &again].concat()), [11, 300]);
        let whole = [(2, 0, 2, 5)];
        assert_eq!(of(&[first.as_slice(), &again, &whole].concat()), [11, 300, 305]);
        // A third goes on after them, and one that begins anew leaves nothing of before.
        let third = [(3, 0, 3, 7), (3, 1, 3, 70)];
        assert_eq!(of(&[first.as_slice(), &third].concat()), [11, 22, 33, 77]);
        assert_eq!(of(&[first.as_slice(), &[(3, 0, 0, 8), (3, 1, 0, 80)]].concat()), [88]);
    }
}
