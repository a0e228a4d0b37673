//! What this worker last did, for whoever asks while its loop cannot answer: counted by the loop's thread, sent by the
//! thread of heartbeats.
//!
//! A worker is a process, so there is one record in it. With `workers(0)` nobody asks.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// The collectives that the library itself begins; those on [`Context::process_group`](super::Context::process_group) are
/// the loop's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Collective {
    /// `ctx.barrier`.
    Barrier,
    /// `ctx.all_reduce`, or the scaler's question for infinite gradients.
    AllReduce,
    /// The question of `ctx.step` whether a rank wishes to stop or to save.
    Step,
    /// `ctx.prepare_model`, which gives all ranks rank 0's parameters.
    PrepareModel,
    /// A forward pass under DDP, which gives all ranks rank 0's buffers.
    Forward,
    /// A backward pass, which averages the gradients.
    Backward,
    /// `ctx.gather`, `ctx.gather_for_metrics` or `ctx.pad_across_ranks`.
    Gather,
    /// `ctx.reduce`.
    Reduce,
    /// `ctx.broadcast_object` or `ctx.gather_object`.
    Objects,
    /// `ctx.main_rank_first`.
    MainRankFirst,
    /// `ctx.check_trigger`.
    Trigger,
}

impl Collective {
    const ALL: [Self; 11] = [
        Self::Barrier,
        Self::AllReduce,
        Self::Step,
        Self::PrepareModel,
        Self::Forward,
        Self::Backward,
        Self::Gather,
        Self::Reduce,
        Self::Objects,
        Self::MainRankFirst,
        Self::Trigger,
    ];
}

impl std::fmt::Display for Collective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Barrier => "barrier",
            Self::AllReduce => "all-reduce",
            Self::Step => "the question of `ctx.step`",
            Self::PrepareModel => "prepare_model",
            Self::Forward => "forward pass",
            Self::Backward => "backward pass",
            Self::Gather => "gather",
            Self::Reduce => "reduce",
            Self::Objects => "exchange of values",
            Self::MainRankFirst => "main_rank_first",
            Self::Trigger => "check_trigger",
        })
    }
}

/// How far a rank is with a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CheckpointPart {
    /// It makes its part.
    Begun,
    /// Its part is on the disk; the other ranks' are waited for.
    HandedIn,
    /// It has heard what became of the checkpoint.
    Answered,
}

impl CheckpointPart {
    const ALL: [Self; 3] = [Self::Begun, Self::HandedIn, Self::Answered];
}

/// What a rank last did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Doing {
    /// How many steps it has counted.
    pub(crate) steps: u64,
    /// How many reports it has made.
    pub(crate) reports: u64,
    /// How many collectives it has begun.
    pub(crate) collectives: u64,
    /// The last of them.
    pub(crate) collective: Option<Collective>,
    /// It has not come out of it.
    pub(crate) in_collective: bool,
    /// Its last checkpoint, and how far that is.
    pub(crate) checkpoint: Option<(u64, CheckpointPart)>,
}

/// The record. A reader in another thread sees each of its parts whole, and not all as of one moment.
#[derive(Debug, Default)]
struct Activity {
    steps: AtomicU64,
    reports: AtomicU64,
    /// The number in the high bits, the kind's place in [`Collective::ALL`] and one more, then whether it lasts.
    collective: AtomicU64,
    /// The index, and the part's place in [`CheckpointPart::ALL`] and one more.
    checkpoint: AtomicU64,
}

static ACTIVITY: Activity = Activity {
    steps: AtomicU64::new(0),
    reports: AtomicU64::new(0),
    collective: AtomicU64::new(0),
    checkpoint: AtomicU64::new(0),
};

impl Activity {
    fn begin(&self, collective: Collective) {
        let number = (self.collective.load(Ordering::Relaxed) >> 8) + 1;
        self.collective.store(number << 8 | (collective as u64 + 1) << 1 | 1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.collective.fetch_and(!1, Ordering::Relaxed);
    }

    fn checkpoint(&self, index: u64, part: CheckpointPart) {
        self.checkpoint.store(index << 2 | (part as u64 + 1), Ordering::Relaxed);
    }

    fn doing(&self) -> Doing {
        let collective = self.collective.load(Ordering::Relaxed);
        let checkpoint = self.checkpoint.load(Ordering::Relaxed);
        let kind = (collective >> 1 & 0x7f) as usize;
        let part = (checkpoint & 3) as usize;
        Doing {
            steps: self.steps.load(Ordering::Relaxed),
            reports: self.reports.load(Ordering::Relaxed),
            collectives: collective >> 8,
            collective: kind.checked_sub(1).and_then(|kind| Collective::ALL.get(kind).copied()),
            in_collective: collective & 1 == 1,
            checkpoint: part
                .checked_sub(1)
                .and_then(|part| CheckpointPart::ALL.get(part))
                .map(|part| (checkpoint >> 2, *part)),
        }
    }
}

/// Takes part in a collective; where that fails, the rank is told as one that never came out of it.
pub(crate) fn within<T, E>(collective: Collective, run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    ACTIVITY.begin(collective);
    let value = run()?;
    ACTIVITY.end();
    Ok(value)
}

/// So many steps are counted.
pub(crate) fn steps(steps: u64) {
    ACTIVITY.steps.store(steps, Ordering::Relaxed);
}

/// So many reports are made.
pub(super) fn reports(reports: u64) {
    ACTIVITY.reports.store(reports, Ordering::Relaxed);
}

/// A checkpoint has come so far.
pub(super) fn checkpoint(index: u64, part: CheckpointPart) {
    ACTIVITY.checkpoint(index, part);
}

/// What this worker last did.
pub(super) fn doing() -> Doing {
    ACTIVITY.doing()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_as_it_was() {
        let activity = Activity::default();
        assert_eq!(activity.doing(), Doing::default());
        for (number, collective) in (1..).zip(Collective::ALL) {
            activity.begin(collective);
            let doing = activity.doing();
            assert_eq!((doing.collectives, doing.collective, doing.in_collective), (number, Some(collective), true));
            activity.end();
            assert_eq!(activity.doing(), Doing { in_collective: false, ..doing });
        }
        for (index, part) in (0..).zip(CheckpointPart::ALL) {
            activity.checkpoint(index, part);
            assert_eq!(activity.doing().checkpoint, Some((index, part)));
        }
    }
}
