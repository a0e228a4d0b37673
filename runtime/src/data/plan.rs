//! How an epoch's places fall into batches and windows: arithmetic alone.
//!
//! An epoch has places, one for each sample that some rank sees. A global batch is a run of places, of which rank *r* of *w*
//! takes every *w*-th; a window is a run of global batches whose gradients make one step.

use std::ops::Range;

use super::batch::{GlobalBatch, Share};
use super::dataset::Draw;
use super::sampler::DistributedSampler;

/// What an epoch of one rank consists of.
pub(super) struct Plan {
    epoch: u64,
    /// How many places of the epoch lie before it.
    begin: usize,
    /// The window that the epoch was left in, if it was inside one.
    open: Option<Window>,
    /// This rank's samples, in order.
    indices: Vec<usize>,
    stand_in: Option<usize>,
    sampler: DistributedSampler,
    sizes: Sizes,
    batches: u64,
}

/// How large batches and windows are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Samples in a batch of one rank.
    pub(super) batch: usize,
    /// Batches in a window.
    pub(super) window: usize,
    pub(super) drop_last: bool,
}

/// The places of a window: first, and one past the last.
pub(super) type Window = (usize, usize);

/// One global batch.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Places {
    batch: Range<usize>,
    window: Range<usize>,
}

impl Plan {
    /// What is left of an epoch after its first `begin` places.
    pub(super) fn new(
        sampler: DistributedSampler,
        sizes: Sizes,
        epoch: u64,
        (begin, open): (usize, Option<Window>),
    ) -> crate::Result<Self> {
        let open = open.filter(|&(first, end)| first <= begin && begin < end && end <= sampler.total());
        let (indices, stand_in) = sampler.rest(epoch, begin)?;
        let mut plan = Self { epoch, begin, open, indices, stand_in, sampler, sizes, batches: 0 };
        plan.batches = plan.open_batches() + plan.regular_batches();
        Ok(plan)
    }

    pub(super) fn batches(&self) -> u64 {
        self.batches
    }

    fn global_batch(&self) -> usize {
        self.sizes.batch * self.sampler.world_size()
    }

    /// Where windows begin to be counted: after the one that was left open.
    fn regular_begin(&self) -> usize {
        self.open.map_or(self.begin, |(_, end)| end)
    }

    /// Batches of the window that was left open. The last of them ends with it, so that the window holds the samples that
    /// its gradients were weighted for, also where batches have another size now.
    fn open_batches(&self) -> u64 {
        (self.regular_begin() - self.begin).div_ceil(self.global_batch()) as u64
    }

    fn regular_batches(&self) -> u64 {
        let left = self.sampler.total().saturating_sub(self.regular_begin());
        let global = self.global_batch();
        (if self.sizes.drop_last { left / global } else { left.div_ceil(global) }) as u64
    }

    /// Where the last batch ends.
    fn end(&self) -> usize {
        (self.regular_begin() + self.regular_batches() as usize * self.global_batch()).min(self.sampler.total())
    }

    fn places(&self, index: u64) -> Places {
        let global = self.global_batch();
        if let Some((first, end)) = self.open
            && index < self.open_batches()
        {
            let begin = self.begin + index as usize * global;
            return Places { batch: begin..(begin + global).min(end), window: first..end };
        }
        let regular = (index - self.open_batches()) as usize;
        let end = self.end();
        let begin = self.regular_begin() + regular * global;
        let window = self.regular_begin() + regular / self.sizes.window * self.sizes.window * global;
        Places {
            batch: begin..(begin + global).min(end),
            window: window..(window + self.sizes.window * global).min(end),
        }
    }

    /// Where the epoch is after batch `index`.
    pub(super) fn after(&self, index: u64) -> (usize, Option<Window>) {
        let Places { batch, window } = self.places(index);
        (batch.end, (batch.end < window.end).then_some((window.start, window.end)))
    }

    fn global(&self, batch: &Range<usize>) -> GlobalBatch {
        let ranks = self.sampler.world_size();
        GlobalBatch {
            // The places beyond them repeat samples of the beginning.
            samples: batch.end.min(self.sampler.samples()).saturating_sub(batch.start),
            ranks,
            first_rank: (batch.start - self.begin) % ranks,
            longest: batch.len().div_ceil(ranks).max(1),
        }
    }

    /// The samples of batch `index`, and how it stands to the global batch.
    pub(super) fn batch(&self, index: u64) -> (Vec<Draw>, Share) {
        let Places { batch, window } = self.places(index);
        let before = |place: usize| self.sampler.share(place - self.begin);
        let first = before(batch.start);
        let own = self.indices.get(first..before(batch.end)).unwrap_or_default();
        let place = |nth: usize| self.begin + self.sampler.place(first + nth);
        let draw = |(nth, &index)| Draw { index, epoch: self.epoch, place: place(nth) };
        let mut samples: Vec<_> = own.iter().enumerate().map(draw).collect();
        if own.is_empty() {
            // A rank with nothing takes the step all the same, with a sample that weighs nothing.
            samples.extend(self.stand_in.map(|index| Draw { index, epoch: self.epoch, place: 0 }));
        }
        let share = Share {
            // Counted from the epoch's beginning, also where it goes on from a place inside.
            index: self.begin.div_ceil(self.global_batch()) as u64 + index,
            samples: own.len(),
            weight: (own.len() * self.sampler.world_size()) as f64 / window.len() as f64,
            begins_window: batch.start == window.start,
            ends_window: batch.end == window.end,
            global: Some(self.global(&batch)),
        };
        (samples, share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { batch: 4, window: 3, drop_last: false };

    fn plans(samples: usize, world_size: usize, sizes: Sizes, from: (usize, Option<Window>)) -> Vec<Plan> {
        let of_rank =
            |rank| Plan::new(DistributedSampler::new(samples, rank, world_size).unwrap(), sizes, 0, from).unwrap();
        (0..world_size).map(of_rank).collect()
    }

    /// Every place once; the weights of a window add up to what a mean over its samples needs.
    fn check(plans: &[Plan], from: usize, samples: usize) {
        let mut seen: Vec<usize> = Vec::new();
        let mut window = 0.0;
        for index in 0..plans[0].batches() {
            let shares: Vec<_> = plans.iter().map(|plan| plan.batch(index)).collect();
            for (samples, share) in &shares {
                for draw in &samples[..share.samples] {
                    assert_eq!((draw.index, draw.epoch), (draw.place, 0), "in order, a sample's place is its index");
                    seen.push(draw.index);
                }
                window += share.weight / plans.len() as f64;
                assert_eq!(share.ends_window, shares[0].1.ends_window);
            }
            if shares[0].1.ends_window {
                assert!((window - 1.0).abs() < 1e-12 || from > 0, "{window}");
                window = 0.0;
            }
        }
        assert!(window == 0.0, "a window is left open at the epoch's end");
        seen.sort_unstable();
        assert_eq!(seen, (from..samples).collect::<Vec<_>>());
    }

    #[test]
    fn windows_and_batches_cover_the_epoch() {
        for samples in [0, 1, 8, 24, 25, 47, 48, 103] {
            for world_size in [1, 2, 3] {
                for window in [1, 2, 3] {
                    check(&plans(samples, world_size, Sizes { window, ..SIZES }, (0, None)), 0, samples);
                }
            }
        }
    }

    /// A last window that is short, with a last batch that is.
    #[test]
    fn a_short_last_window_weighs_its_own_samples() {
        // Batches of 8 places; windows of 24 and 11.
        let plan = &plans(35, 2, SIZES, (0, None))[0];
        let shares: Vec<_> = (0..plan.batches()).map(|index| plan.batch(index).1).collect();
        let places: Vec<_> = shares.iter().map(|share| (share.begins_window, share.ends_window)).collect();
        assert_eq!(places, [(true, false), (false, false), (false, true), (true, false), (false, true)]);
        // Rank 0 has 4 of the first window's 24 samples in a batch; of the last one's 11, 4 and 2. Times two ranks.
        let weights = [0, 3, 4].map(|index: usize| shares[index].weight);
        let expected = [8.0 / 24.0, 8.0 / 11.0, 4.0 / 11.0];
        assert!(weights.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-15), "{weights:?}");
    }

    /// Without accumulation an even batch weighs exactly 1, so that nothing is multiplied.
    #[test]
    fn a_window_of_one_batch_weighs_one() {
        let plan = &plans(16, 2, Sizes { window: 1, ..SIZES }, (0, None))[1];
        let weights: Vec<u64> = (0..2).map(|index| plan.batch(index).1.weight.to_bits()).collect();
        assert_eq!(weights, [1.0_f64.to_bits(); 2]);
    }

    /// The samples of all shares, put together by what each says of the whole, are the epoch's in order: also where the ranks
    /// are others than before, and the first sample of a batch is not rank 0's.
    #[test]
    fn shares_are_put_together_in_order() {
        let before = &plans(103, 2, SIZES, (0, None))[0];
        for (from, ranks) in [((0, None), 3), (before.after(3), 3), (before.after(3), 2), (before.after(0), 4)] {
            let plans = plans(103, ranks, SIZES, from);
            let mut all = Vec::new();
            for index in 0..plans[0].batches() {
                let shares: Vec<_> = plans.iter().map(|plan| plan.batch(index)).collect();
                let GlobalBatch { samples, first_rank, longest, .. } = shares[0].1.global.unwrap();
                let places =
                    (0..longest).flat_map(|row| (0..ranks).map(move |place| ((first_rank + place) % ranks, row)));
                all.extend(places.take(samples).map(|(rank, row)| shares[rank].0[row].index));
            }
            assert_eq!(all, (from.0..103).collect::<Vec<_>>(), "{from:?} on {ranks} ranks");
        }
    }

    /// Left inside a window by two ranks, gone on with by three: the window ends where it was to end.
    #[test]
    fn a_window_that_was_left_open_ends_where_it_was_to_end() {
        let before = &plans(103, 2, SIZES, (0, None))[0];
        let (begin, open) = before.after(3);
        assert_eq!((begin, open), (32, Some((24, 48))));
        let after = plans(103, 3, SIZES, (begin, open));
        // 16 places are left in it, 12 in a batch of three ranks.
        let ends: Vec<_> = (0..after[0].batches()).map(|index| after[0].places(index).batch.end).collect();
        assert_eq!(ends, [44, 48, 60, 72, 84, 96, 103]);
        assert!(!after[0].batch(0).1.begins_window && after[0].batch(1).1.ends_window);
        let left: f64 = after.iter().flat_map(|plan| [plan.batch(0).1.weight, plan.batch(1).1.weight]).sum();
        assert!((left / 3.0 - 16.0 / 24.0).abs() < 1e-12);
        check(&after, 32, 103);
    }
}
