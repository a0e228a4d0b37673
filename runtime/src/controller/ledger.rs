//! What a run keeps: reports, and the checkpoints that are made of all ranks' parts.

use serde_json::Value;
use trainloop_checkpoint::{Checkpoints, Committed, FileEntry, Ranked, Retention, Score, Staged, fault};

use super::reports::{Reduced, Reports};
use crate::channel::{Begun, Missing, Written};
use crate::error::{Error, Result, with_causes};

/// The records of one generation.
pub(crate) struct Ledger {
    checkpoints: Checkpoints,
    generation: u64,
    world_size: usize,
    reports: Reports,
    retention: Retention,
    committed: Vec<Ranked>,
    /// The checkpoint that the generation began from: it may be needed again.
    begun_from: Option<u64>,
    pending: Option<Pending>,
    on_checkpoint: OnCheckpoint,
}

/// Told of each commit, and whether a report came with it; its error ends the group.
pub(crate) type OnCheckpoint = Box<dyn FnMut(&Committed, bool) -> Result<()>>;

/// A checkpoint that some ranks have begun.
struct Pending {
    index: u64,
    report: Option<u64>,
    /// How many reports each rank had made when it came to it.
    reports: u64,
    parts: Vec<Option<Result<Vec<FileEntry>, Missing>>>,
    /// How many ranks have given none.
    missing: usize,
    reduced: Option<Reduced>,
}

impl Pending {
    /// Some rank lets a newer one take its place, and nothing went wrong on any.
    fn is_given_up(&self) -> bool {
        let mut missing = self.parts.iter().flatten().filter_map(|part| part.as_ref().err()).peekable();
        missing.peek().is_some() && missing.all(|missing| *missing == Missing::GivenUp)
    }
}

/// What became of a checkpoint once every rank had given its part.
pub(crate) struct Saved {
    pub(crate) index: u64,
    /// Why it was not committed. The run's older checkpoints are whole.
    pub(crate) failed: Option<String>,
    /// What could not be removed.
    pub(crate) warnings: Vec<String>,
}

/// What a [`Ledger`] begins from.
pub(crate) struct Beginning {
    pub(crate) checkpoints: Checkpoints,
    pub(crate) generation: u64,
    pub(crate) world_size: usize,
    pub(crate) retention: Retention,
    pub(crate) committed: Vec<Ranked>,
    pub(crate) begun_from: Option<u64>,
}

impl Ledger {
    pub(crate) fn new(beginning: Beginning, reports: Reports, on_checkpoint: OnCheckpoint) -> Self {
        let Beginning { checkpoints, generation, world_size, retention, committed, begun_from } = beginning;
        Self {
            checkpoints,
            generation,
            world_size,
            reports,
            retention,
            committed,
            begun_from,
            pending: None,
            on_checkpoint,
        }
    }

    /// One rank's report; the reduced metrics where it was the last rank's.
    pub(crate) fn report(&mut self, rank: usize, index: u64, metrics: Vec<u8>) -> Result<Option<(u64, Value)>> {
        if self.pending.as_ref().is_some_and(|pending| pending.report == Some(index)) {
            return Err(mixed(index, &format!("rank {rank}"), "another rank"));
        }
        Ok(self.reports.add(rank, index, metrics)?.map(|reduced| (index, reduced.shown)))
    }

    /// One rank has come to a checkpoint; the reduced metrics where it was the last rank and a report comes with it.
    pub(crate) fn begin(&mut self, rank: usize, begun: Begun) -> Result<Option<(u64, Value)>> {
        let Begun { checkpoint: index, report, reports, steps: _ } = begun;
        let report_index = report.as_ref().map(|(index, _)| *index);
        // With the checkpoint's first part, whoever has made its report made it without one, and would never give a part.
        if self.pending.is_none()
            && let Some(index) = report_index.filter(|&index| self.reports.is_begun(index))
        {
            return Err(mixed(index, "another rank", &format!("rank {rank}")));
        }
        let world_size = self.world_size;
        let pending = self.pending.get_or_insert_with(|| Pending {
            index,
            report: report_index,
            reports,
            parts: vec![None; world_size],
            missing: world_size,
            reduced: None,
        });
        if (pending.index, pending.report) != (index, report_index) {
            return Err(Error::checkpoint(format!(
                "rank {rank} gives its part of checkpoint {index} ({}) while the others make checkpoint {} ({}); every rank \
                 makes the same checkpoints in the same order",
                described(report_index),
                pending.index,
                described(pending.report)
            )));
        }
        let Some((index, metrics)) = report else { return Ok(None) };
        let Some(reduced) = self.reports.add(rank, index, metrics)? else { return Ok(None) };
        let shown = reduced.shown.clone();
        if let Some(pending) = &mut self.pending {
            pending.reduced = Some(reduced);
        }
        Ok(Some((index, shown)))
    }

    /// One rank's part of a checkpoint; what became of it where it was the last rank's.
    pub(crate) fn hand_in(&mut self, rank: usize, written: Written) -> Result<Option<Saved>> {
        let Written { checkpoint, files } = written;
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.index == checkpoint) else {
            return Err(Error::checkpoint(format!(
                "rank {rank} gives its part of checkpoint {checkpoint}, which it has not begun"
            )));
        };
        if pending.parts[rank].replace(files).is_none() {
            pending.missing -= 1;
        }
        match self.pending.take_if(|pending| pending.missing == 0) {
            Some(whole) => self.finish(whole).map(Some),
            None => Ok(None),
        }
    }

    fn finish(&mut self, whole: Pending) -> Result<Saved> {
        // What was reported is on disk before the checkpoint that counts it.
        self.reports.flush()?;
        let (index, reported) = (whole.index, whole.report.is_some());
        let mut saved = Saved { index, failed: None, warnings: Vec::new() };
        if whole.is_given_up() {
            self.checkpoints.abandon(index);
            return Ok(saved);
        }
        fault::step(fault::CONTROLLER_BEFORE_COMMIT);
        match self.commit(whole) {
            Ok(committed) => {
                fault::step(fault::CONTROLLER_AFTER_COMMIT);
                self.committed.push(Ranked { index: committed.index, score: committed.manifest.score });
                saved.warnings = self.prune();
                (self.on_checkpoint)(&committed, reported)?;
            }
            Err(error) => {
                // Room for the next attempt; what stays is removed by the next start.
                self.checkpoints.abandon(index);
                saved.failed = Some(with_causes(&error));
            }
        }
        fault::step(fault::CONTROLLER_BEFORE_ANSWER);
        Ok(saved)
    }

    fn commit(&self, whole: Pending) -> Result<Committed> {
        let Pending { index, reports, parts, reduced, .. } = whole;
        let (metrics, score) = reduced.map_or((Value::Null, None), |reduced| (reduced.shown, reduced.score));
        let mut files = Vec::new();
        for (rank, part) in parts.into_iter().flatten().enumerate() {
            files.extend(part.map_err(|missing| match missing {
                Missing::Failed(reason) => Error::checkpoint(format!("rank {rank} could not write its part: {reason}")),
                Missing::GivenUp => Error::checkpoint(format!("rank {rank} has given it up for a newer one")),
            })?);
        }
        let committed = self.checkpoints.commit(Staged {
            index,
            generation: self.generation,
            world_size: self.world_size,
            report: reports,
            metrics,
            score: score.map(Score),
            files,
        })?;
        Ok(committed)
    }

    /// Removes what is out of the ranking; a removal that fails is a warning.
    fn prune(&mut self) -> Vec<String> {
        let in_use: Vec<u64> = self.begun_from.into_iter().collect();
        let doomed = self.retention.deletions(&self.committed, &in_use);
        self.committed.retain(|ranked| !doomed.contains(&ranked.index));
        doomed.into_iter().filter_map(|index| self.checkpoints.delete(index)).collect()
    }

    /// How many reports all ranks have made, over all generations.
    pub(crate) fn rounds(&self) -> u64 {
        self.reports.next()
    }

    /// Hands what is buffered to the system.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.reports.flush()
    }
}

fn mixed(index: u64, without: &str, with: &str) -> Error {
    Error::checkpoint(format!(
        "{without} made report {} without a checkpoint and {with} made it with one; every rank calls `report_with` for the \
         same reports",
        index + 1
    ))
}

fn described(report: Option<u64>) -> String {
    report.map_or_else(|| "without a report".to_owned(), |report| format!("with report {}", report + 1))
}
