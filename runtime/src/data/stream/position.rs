//! Where a stream is: how far each lane has come, and what is left for another number of them.

use serde::{Deserialize, Serialize};

use crate::data::order::permutation;
use crate::error::{Error, Result};

/// A shard, and how many of its samples were seen before this division began.
pub(super) type Part = (usize, u64);

/// How far a lane has come in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Which of its parts it is in.
    pub(super) part: usize,
    /// How many samples of that part's shard have been seen, those before this division included; 0 before it is opened.
    pub(super) seen: u64,
}

/// One rank's place in a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamPosition {
    pub(super) epoch: u64,
    pub(super) division: Division,
    /// The parts as they were dealt out: those that were left where the epoch went on with another number of lanes; `None`
    /// from the epoch's beginning.
    pub(super) parts: Option<Vec<Part>>,
    /// Of this rank's lanes.
    pub(super) lanes: Vec<Progress>,
    /// The lane whose turn is next.
    pub(super) turn: usize,
    /// Batches given in this epoch.
    pub(super) batches: u64,
}

/// What a place means something by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Division {
    pub(super) shards: usize,
    pub(super) seed: Option<u64>,
    pub(super) world_size: usize,
    /// Of each rank.
    pub(super) lanes: usize,
}

impl Division {
    /// Lanes of all ranks. Lane *n* of rank *r* is the *n* × world + *r*th, so that a few shards go to different ranks.
    fn all_lanes(self) -> usize {
        self.world_size * self.lanes
    }

    /// The parts of one lane of one rank.
    pub(super) fn dealt(self, parts: &[Part], rank: usize, lane: usize) -> Vec<Part> {
        parts.iter().copied().skip(lane * self.world_size + rank).step_by(self.all_lanes()).collect()
    }

    /// The epoch's beginning.
    pub(super) fn begin(self, epoch: u64) -> StreamPosition {
        let lanes = vec![Progress::default(); self.lanes];
        StreamPosition { epoch, division: self, parts: None, lanes, turn: 0, batches: 0 }
    }

    /// All shards, in the epoch's order.
    pub(super) fn order(self, epoch: u64) -> Result<Vec<Part>> {
        let order = match self.seed {
            None => (0..self.shards).collect(),
            Some(seed) => permutation(self.shards, seed.wrapping_add(epoch))?,
        };
        Ok(order.into_iter().map(|shard| (shard, 0)).collect())
    }
}

impl StreamPosition {
    /// Can a rank go on from here as if nothing had been?
    pub(super) fn is_of(&self, division: Division) -> bool {
        (self.division.world_size, self.division.lanes) == (division.world_size, division.lanes)
    }

    /// The place in `division` of what all ranks together, each at its place, have left.
    pub(super) fn redivided(ranks: &[Self], division: Division) -> Result<Self> {
        let Some(first) = ranks.first() else { return Err(Error::checkpoint("no rank saved a place in the stream")) };
        let saved = first.division;
        if let Some(rank) = ranks
            .iter()
            .position(|rank| (rank.epoch, rank.division) != (first.epoch, saved) || rank.parts != first.parts)
        {
            return Err(Error::checkpoint(format!(
                "rank {rank} saved a place of another epoch or division than rank 0, so what is left cannot be told"
            )));
        }
        let parts = match &first.parts {
            Some(parts) => parts.clone(),
            None => saved.order(first.epoch)?,
        };
        let left = parts.iter().enumerate().filter_map(|(place, &(shard, skip))| {
            let (nth, lane) = (place / saved.all_lanes(), place % saved.all_lanes());
            let progress = ranks[lane % saved.world_size].lanes[lane / saved.world_size];
            match nth.cmp(&progress.part) {
                std::cmp::Ordering::Less => None,
                std::cmp::Ordering::Equal => Some((shard, progress.seen.max(skip))),
                std::cmp::Ordering::Greater => Some((shard, skip)),
            }
        });
        let batches = first.batches;
        Ok(Self { parts: Some(left.collect()), batches, ..division.begin(first.epoch) })
    }

    /// Refuses the place of another stream.
    pub(super) fn check(&self, division: Division) -> Result<()> {
        if self.lanes.len() != self.division.lanes || self.division.lanes == 0 {
            return Err(Error::checkpoint("the place in the stream has not one entry for each thread"));
        }
        let (saved, own) = ((self.division.shards, self.division.seed), (division.shards, division.seed));
        if saved == own {
            return Ok(());
        }
        let described = |(shards, seed): (usize, Option<u64>)| match seed {
            Some(seed) => format!("{shards} shards shuffled by seed {seed}"),
            None => format!("{shards} shards in order"),
        };
        Err(Error::checkpoint(format!(
            "the place in the stream belongs to {} and this loader has {}, so it would mean other samples",
            described(saved),
            described(own)
        )))
    }
}
