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
    // What has no line end was being written when its driver was killed.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for (number, line) in whole.lines().enumerate() {
        let line: Line = serde_json::from_str(line)
            .map_err(|error| Error::checkpoint(format!("{} line {}: {error}", path.display(), number + 1)))?;
        // A later generation begins again after its checkpoint: what came after that is no longer so.
        rounds.retain(|&report, (generation, _)| report < line.report || *generation >= line.generation);
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
