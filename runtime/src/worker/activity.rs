//! What this worker last did, for whoever asks while its loop cannot answer: counted by the loop's thread, sent by the
//! thread of heartbeats.
//!
//! A worker is a process, so there is one record in it. With `workers(0)` nobody asks.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::c10d::Moment;

/// A collective of the context, the model or the optimizer, or one that the loop does itself on
/// [`Context::process_group`](super::Context::process_group) or a sub-group of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Collective {
    /// `ctx.barrier`.
    Barrier,
    /// `ctx.all_reduce`, the scaler's question for infinite gradients, or an all-reduce of the group.
    AllReduce,
    /// The question of `ctx.step` whether a rank wishes to stop or to save.
    Step,
    /// `ctx.prepare_model`, which gives all ranks rank 0's parameters.
    PrepareModel,
    /// A forward pass under DDP, which gives all ranks rank 0's buffers.
    Forward,
    /// A backward pass, which averages the gradients.
    Backward,
    /// `ctx.broadcast_object` or `ctx.gather_object`.
    Objects,
    /// `ctx.main_rank_first`.
    MainRankFirst,
    /// `ctx.check_trigger`.
    Trigger,
    /// Rank 0's tensor, or another's, for all: the loop's own, as are those that follow.
    Broadcast,
    /// A reduction to one rank, or `ctx.reduce`.
    Reduce,
    /// A reduction of which each rank gets its share.
    ReduceScatter,
    /// All ranks' tensors or values for all.
    AllGather,
    /// For one; or `ctx.gather`, `ctx.gather_for_metrics` or `ctx.pad_across_ranks`.
    Gather,
    /// One rank's tensors or values, one for each.
    Scatter,
    /// Each rank's shares for each.
    AllToAll,
    /// To one rank.
    Send,
    /// From one rank.
    Receive,
    /// The group is shared out into smaller ones.
    Split,
    /// Something else on the group.
    Other,
}

impl Collective {
    const ALL: [Self; 20] = [
        Self::Barrier,
        Self::AllReduce,
        Self::Step,
        Self::PrepareModel,
        Self::Forward,
        Self::Backward,
        Self::Objects,
        Self::MainRankFirst,
        Self::Trigger,
        Self::Broadcast,
        Self::Reduce,
        Self::ReduceScatter,
        Self::AllGather,
        Self::Gather,
        Self::Scatter,
        Self::AllToAll,
        Self::Send,
        Self::Receive,
        Self::Split,
        Self::Other,
    ];

    /// By the name that c10d gives the operation.
    fn named(operation: &str) -> Self {
        // The longer names first: `all_gather_object` is no `gather`.
        const BEGINNINGS: [(&str, Collective); 12] = [
            ("barrier", Collective::Barrier),
            ("all_reduce", Collective::AllReduce),
            ("all_gather", Collective::AllGather),
            ("all_to_all", Collective::AllToAll),
            ("broadcast", Collective::Broadcast),
            ("reduce_scatter", Collective::ReduceScatter),
            ("reduce", Collective::Reduce),
            ("gather", Collective::Gather),
            ("scatter", Collective::Scatter),
            ("send", Collective::Send),
            ("recv", Collective::Receive),
            ("split", Collective::Split),
        ];
        let found = BEGINNINGS.iter().find(|(beginning, _)| operation.starts_with(beginning));
        found.map_or(Self::Other, |(_, collective)| *collective)
    }
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
            Self::Objects => "exchange of values",
            Self::MainRankFirst => "main_rank_first",
            Self::Trigger => "check_trigger",
            Self::Broadcast => "broadcast",
            Self::Reduce => "reduce",
            Self::ReduceScatter => "reduce-scatter",
            Self::AllGather => "all-gather",
            Self::Gather => "gather",
            Self::Scatter => "scatter",
            Self::AllToAll => "all-to-all",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Split => "split",
            Self::Other => "a collective",
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

    /// Waits in one that was begun, which need not be the last.
    fn wait(&self, collective: Collective) {
        let number = self.collective.load(Ordering::Relaxed) >> 8;
        self.collective.store(number << 8 | (collective as u64 + 1) << 1 | 1, Ordering::Relaxed);
    }

    /// One on the group. What goes on in the background is no wait.
    fn observe(&self, operation: &str, moment: Moment) {
        let collective = Collective::named(operation);
        match moment {
            Moment::Begun => {
                self.begin(collective);
                self.end();
            }
            Moment::Waiting => self.wait(collective),
            Moment::Pending | Moment::Ended => self.end(),
        }
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

thread_local! {
    /// What this thread does on the group is a part of [`within`].
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// Takes part in a collective; where that fails, the rank is told as one that never came out of it.
pub(crate) fn within<T, E>(collective: Collective, run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    ACTIVITY.begin(collective);
    let outer = WITHIN.replace(true);
    let result = run();
    WITHIN.set(outer);
    let value = result?;
    ACTIVITY.end();
    Ok(value)
}

/// A collective that the loop does itself on the group.
pub(super) fn observe(operation: &'static str, moment: Moment) {
    if !WITHIN.get() {
        ACTIVITY.observe(operation, moment);
    }
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

    #[test]
    fn what_the_loop_does_on_the_group_is_told_by_its_kind() {
        let activity = Activity::default();
        let moment = |operation: &str, moment| {
            activity.observe(operation, moment);
            let doing = activity.doing();
            (doing.collectives, doing.collective, doing.in_collective)
        };
        assert_eq!(moment("all_gather_object", Moment::Begun), (1, Some(Collective::AllGather), false));
        assert_eq!(moment("reduce_scatter_tensor", Moment::Begun), (2, Some(Collective::ReduceScatter), false));
        assert_eq!(moment("all_gather_object", Moment::Waiting), (2, Some(Collective::AllGather), true));
        assert_eq!(moment("all_gather_object", Moment::Ended), (2, Some(Collective::AllGather), false));
        assert_eq!(moment("gather", Moment::Waiting).1, Some(Collective::Gather));
        assert_eq!(moment("what is new", Moment::Begun), (3, Some(Collective::Other), false));
    }
}
