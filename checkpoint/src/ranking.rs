//! Which checkpoints to keep: a pure function of their scores.

use std::cmp::Ordering;
use std::num::NonZeroUsize;

use crate::manifest::Score;

/// What makes one checkpoint better than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Being newer.
    Newest,
    /// A greater score.
    Max,
    /// A smaller score.
    Min,
}

/// A committed checkpoint, as the ranking sees it.
#[derive(Debug, Clone, Copy)]
pub struct Ranked {
    /// Which checkpoint of the run.
    pub index: u64,
    /// What it is ranked by.
    pub score: Option<Score>,
}

/// How many checkpoints to keep, and which.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// All where `None`.
    pub keep: Option<NonZeroUsize>,
    /// Which are the best.
    pub mode: Mode,
}

impl Retention {
    /// The checkpoints to delete, the worst first: all but the best `keep`, the newest, and those in use. The latter two
    /// take no place of the best, so up to that many more may stay.
    #[must_use]
    pub fn deletions(&self, committed: &[Ranked], in_use: &[u64]) -> Vec<u64> {
        let Some(keep) = self.keep else { return Vec::new() };
        let newest = committed.iter().map(|ranked| ranked.index).max();
        let ranking = self.ranking(committed);
        let beaten = ranking.iter().skip(keep.get()).rev();
        beaten.map(|ranked| ranked.index).filter(|index| Some(*index) != newest && !in_use.contains(index)).collect()
    }

    /// The best checkpoint of all.
    #[must_use]
    pub fn best(&self, committed: &[Ranked]) -> Option<u64> {
        self.ranking(committed).first().map(|ranked| ranked.index)
    }

    fn ranking(&self, committed: &[Ranked]) -> Vec<Ranked> {
        let mut ranking = committed.to_vec();
        ranking.sort_by(|a, b| self.compare(a, b));
        ranking
    }

    /// `Less` where `a` is better.
    fn compare(&self, a: &Ranked, b: &Ranked) -> Ordering {
        let newer = b.index.cmp(&a.index);
        if self.mode == Mode::Newest {
            return newer;
        }
        self.class(a.score).cmp(&self.class(b.score)).then_with(|| self.by_score(a.score, b.score)).then(newer)
    }

    /// Finite scores first. An infinity is a broken computation whichever way it points, so even the one in the chosen
    /// direction loses to any finite score; then the other infinity, then NaN, then no score at all.
    fn class(&self, score: Option<Score>) -> u8 {
        match score {
            Some(Score(score)) if score.is_finite() => 0,
            Some(Score(score)) if score.is_nan() => 3,
            Some(Score(score)) if (score > 0.0) == (self.mode == Mode::Max) => 1,
            Some(_) => 2,
            None => 4,
        }
    }

    /// Within one class; only finite scores differ there.
    fn by_score(&self, a: Option<Score>, b: Option<Score>) -> Ordering {
        let (Some(Score(a)), Some(Score(b))) = (a, b) else { return Ordering::Equal };
        let smaller_first = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
        if self.mode == Mode::Max { smaller_first.reverse() } else { smaller_first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;
    const INF: f64 = f64::INFINITY;

    fn retention(keep: usize, mode: Mode) -> Retention {
        Retention { keep: NonZeroUsize::new(keep), mode }
    }

    /// Checkpoints 1, 2, … with these scores.
    fn scored(scores: &[f64]) -> Vec<Ranked> {
        (1..).zip(scores).map(|(index, &score)| Ranked { index, score: Some(Score(score)) }).collect()
    }

    #[test]
    fn deletions_are_as_the_ranking_says() {
        use Mode::{Max, Min, Newest};
        type Case = (&'static str, Mode, usize, &'static [f64], &'static [u64]);
        let cases: [Case; 20] = [
            ("greatest stay", Max, 2, &[0.1, 0.9, 0.5, 0.7, 0.2], &[1, 3]),
            ("smallest stay", Min, 2, &[0.1, 0.9, 0.5, 0.7, 0.2], &[2, 4, 3]),
            ("newest stay", Newest, 2, &[0.1, 0.9, 0.5, 0.7, 0.2], &[1, 2, 3]),
            ("fewer than k", Max, 9, &[0.1, 0.9], &[]),
            ("exactly k", Min, 2, &[0.1, 0.9], &[]),
            ("none", Max, 1, &[], &[]),
            ("one", Max, 1, &[NAN], &[]),
            ("a tie is the newer's", Max, 1, &[0.5, 0.5, 0.5, 0.1], &[1, 2]),
            ("a tie is the newer's, too", Min, 1, &[0.5, 0.5, 0.5, 0.9], &[1, 2]),
            ("zeros tie", Max, 1, &[0.0, -0.0, -1.0], &[1]),
            ("NaN first", Max, 2, &[NAN, 0.1, 0.2, 0.3], &[1, 2]),
            ("NaN last is the newest", Max, 1, &[0.1, 0.2, NAN], &[1]),
            ("NaN inside", Min, 2, &[0.1, NAN, 0.3, 0.4], &[2]),
            ("all NaN", Max, 2, &[NAN, NAN, NAN, NAN], &[1, 2]),
            ("worst infinity before NaN", Max, 1, &[NAN, -INF, -1e300, 0.0], &[1, 2, 3]),
            ("worst infinity before NaN, min", Min, 1, &[NAN, INF, 1e300, 0.0], &[1, 2, 3]),
            ("a good infinity loses to any number", Max, 1, &[-1e300, INF, INF], &[2]),
            ("but beats the bad one", Max, 2, &[-INF, INF, NAN, 0.0], &[3, 1]),
            ("but beats the bad one, min", Min, 2, &[INF, -INF, NAN, 0.0], &[3, 1]),
            ("k = 1, always worse", Max, 1, &[0.9, 0.8, 0.7], &[2]),
        ];
        for (name, mode, keep, scores, expected) in cases {
            let committed = scored(scores);
            assert_eq!(retention(keep, mode).deletions(&committed, &[]), expected, "{name}");
            let reversed: Vec<_> = committed.into_iter().rev().collect();
            assert_eq!(retention(keep, mode).deletions(&reversed, &[]), expected, "{name}, in another order");
        }
    }

    #[test]
    fn the_newest_and_those_in_use_are_never_deleted() {
        let committed = scored(&[0.1, 0.2, 0.9, 0.8, 0.0]);
        assert_eq!(retention(1, Mode::Max).deletions(&committed, &[]), [1, 2, 4]);
        assert_eq!(retention(1, Mode::Max).deletions(&committed, &[2, 77]), [1, 4]);
        assert_eq!(retention(1, Mode::Newest).deletions(&committed, &[1]), [2, 3, 4]);
        assert_eq!(retention(0, Mode::Max).deletions(&committed, &[]), [0; 0], "without a limit all stay");
    }

    #[test]
    fn a_checkpoint_without_a_score_is_the_worst() {
        let mut committed = scored(&[0.1, NAN, 0.2, 0.3]);
        committed[0].score = None;
        assert_eq!(retention(2, Mode::Max).deletions(&committed, &[]), [1, 2]);
    }

    #[test]
    fn the_best_is_the_first_of_the_ranking() {
        let committed = scored(&[0.1, NAN, 0.9, 0.9, INF]);
        for (mode, best) in [(Mode::Max, 4), (Mode::Min, 1), (Mode::Newest, 5)] {
            assert_eq!(retention(1, mode).best(&committed), Some(best), "{mode:?}");
        }
        assert_eq!(retention(1, Mode::Max).best(&[]), None);
    }
}
