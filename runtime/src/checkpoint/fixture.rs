//! Runs with checkpoints, for the tests.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::{Committed, Score, Staged, Staging, commit};
use crate::error::Result;

/// Writes the bytes given.
pub(crate) fn bytes(content: &[u8]) -> impl FnOnce(&mut dyn Write) -> Result<()> + '_ {
    |writer| Ok(writer.write_all(content)?)
}

/// Two ranks' files, three in all, that differ between checkpoints.
pub(crate) fn stage(run: &Path, index: u64) -> Result<Staged> {
    let staging = Staging::open(run, index)?;
    let content = format!("weights of {index}");
    let files = vec![
        staging.write_file("model", 0, bytes(content.as_bytes()))?,
        staging.write_file("ranks/0/empty", 0, bytes(b""))?,
        staging.write_file("ranks/1/generator", 1, bytes(&[index as u8; 70_000]))?,
    ];
    let metrics = json!({"accuracy": index as f64, "loss": "NaN"});
    let score = Some(Score(index as f64));
    Ok(Staged { index, generation: 1, world_size: 2, report: index, metrics, score, files })
}

/// A committed checkpoint.
pub(crate) fn checkpoint(run: &Path, index: u64) -> Committed {
    commit(run, stage(run, index).unwrap()).unwrap()
}
