//! What each rank last did, as its heartbeats said: the table of a failure that is a silence.

use std::fmt;

use crate::worker::{CheckpointPart, Collective, Doing};

/// What a rank last did, as far as it has said so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RankActivity {
    /// Its number in the group.
    pub rank: usize,
    /// How many steps `ctx.step` had counted.
    pub steps: u64,
    /// How many reports it had made.
    pub reports: u64,
    /// How many collectives it had begun: the context's, the model's, the optimizer's, and its own on the process group.
    pub collectives: u64,
    /// The last of them.
    pub collective: Option<Collective>,
    /// It had not come out of that one.
    pub in_collective: bool,
    /// Its last checkpoint, and how far that was.
    pub checkpoint: Option<(u64, CheckpointPart)>,
    /// Its loop had returned.
    pub returned: bool,
}

impl RankActivity {
    pub(super) fn new(rank: usize, doing: Doing, returned: bool) -> Self {
        let Doing { steps, reports, collectives, collective, in_collective, checkpoint } = doing;
        Self { rank, steps, reports, collectives, collective, in_collective, checkpoint, returned }
    }

    /// It waits for others, or does what it does together with them.
    fn waits(&self) -> bool {
        self.returned || self.in_collective || matches!(self.checkpoint, Some((_, CheckpointPart::HandedIn)))
    }
}

impl fmt::Display for RankActivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rank, steps, reports, collectives, .. } = self;
        let plural = if *reports == 1 { "" } else { "s" };
        write!(f, "rank {rank}: step {steps}, {reports} report{plural}, ")?;
        match (self.collective, self.in_collective) {
            (None, _) => f.write_str("no collective")?,
            (Some(collective), true) => write!(f, "in collective {collectives} ({collective})")?,
            (Some(collective), false) => write!(f, "out of collective {collectives} ({collective})")?,
        }
        match self.checkpoint {
            None => {}
            Some((index, CheckpointPart::Begun)) => write!(f, ", makes its part of checkpoint {index}")?,
            Some((index, CheckpointPart::HandedIn)) => {
                write!(f, ", waits for the other ranks' parts of checkpoint {index}")?;
            }
            Some((index, CheckpointPart::Answered)) => write!(f, ", done with checkpoint {index}")?,
        }
        f.write_str(if self.returned { ", returned" } else { "" })
    }
}

/// The rank that the others wait for: of those that wait for nobody the one with the fewest reports, or, where all wait, the
/// one that has come to the fewest collectives.
pub(super) fn behind(ranks: &[RankActivity]) -> Option<usize> {
    let busy = ranks.iter().filter(|rank| !rank.waits()).min_by_key(|rank| (rank.reports, rank.collectives, rank.rank));
    let waiting =
        || ranks.iter().filter(|rank| !rank.returned).min_by_key(|rank| (rank.collectives, rank.reports, rank.rank));
    busy.or_else(waiting).map(|rank| rank.rank)
}

/// Two ranks are in collectives of different kinds: they will never meet. Their numbers say nothing, since a loop may have
/// passes of its own on some ranks.
pub(super) fn at_odds(ranks: &[RankActivity]) -> bool {
    let mut kinds = ranks.iter().filter(|rank| rank.in_collective).map(|rank| rank.collective);
    let first = kinds.next();
    kinds.any(|kind| Some(kind) != first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(rank: usize, reports: u64, collectives: u64, in_collective: Option<Collective>) -> RankActivity {
        let collective = in_collective.or((collectives > 0).then_some(Collective::AllReduce));
        let doing = Doing {
            steps: 4,
            reports,
            collectives,
            collective,
            in_collective: in_collective.is_some(),
            checkpoint: None,
        };
        RankActivity::new(rank, doing, false)
    }

    #[test]
    fn the_rank_that_others_wait_for_is_found() {
        let waits = Some(Collective::Barrier);
        let cases = [
            (vec![rank(0, 1, 3, waits), rank(1, 1, 2, None), rank(2, 1, 3, waits)], Some(1)),
            (vec![rank(0, 2, 3, None), rank(1, 1, 3, None)], Some(1)),
            (vec![rank(0, 1, 3, waits), rank(1, 1, 2, waits)], Some(1)),
            (vec![rank(0, 1, 3, None), rank(1, 0, 2, waits)], Some(0)),
            (vec![RankActivity { returned: true, ..rank(0, 0, 0, None) }, rank(1, 1, 2, waits)], Some(1)),
            (
                vec![
                    RankActivity { checkpoint: Some((0, CheckpointPart::HandedIn)), ..rank(0, 1, 1, None) },
                    rank(1, 2, 1, None),
                ],
                Some(1),
            ),
            (vec![], None),
        ];
        for (ranks, expected) in cases {
            assert_eq!(behind(&ranks), expected, "{ranks:?}");
        }
    }

    #[test]
    fn ranks_in_different_collectives_are_at_odds() {
        let (barrier, all_reduce) = (Some(Collective::Barrier), Some(Collective::AllReduce));
        assert!(at_odds(&[rank(0, 0, 3, barrier), rank(1, 0, 3, all_reduce)]));
        assert!(!at_odds(&[rank(0, 0, 3, barrier), rank(1, 0, 4, barrier)]));
        assert!(!at_odds(&[rank(0, 0, 3, barrier), rank(1, 0, 3, barrier)]));
        assert!(!at_odds(&[rank(0, 0, 3, barrier), rank(1, 0, 2, None)]));
    }

    #[test]
    fn a_line_of_the_table() {
        let mut one = rank(1, 3, 7, Some(Collective::Barrier));
        assert_eq!(one.to_string(), "rank 1: step 4, 3 reports, in collective 7 (barrier)");
        one.in_collective = false;
        one.checkpoint = Some((2, CheckpointPart::HandedIn));
        let expected = "rank 1: step 4, 3 reports, out of collective 7 (barrier), waits for the other ranks' parts of checkpoint 2";
        assert_eq!(one.to_string(), expected);
        assert_eq!(rank(0, 0, 0, None).to_string(), "rank 0: step 4, 0 reports, no collective");
    }
}
