//! Which kills there are, and in what order: drawn from a seed.

use std::time::Duration;

use trainloop_checkpoint::fault::{
    COMMIT_ABANDON, JOURNAL_FLUSH_FOLDER, JOURNAL_UNDO, POINTS, Point, STAGE_REMOVE, SWEEP_REMOVE, WORKER_BEFORE_LOOP,
};

use super::WORKERS;
use super::random::Random;

/// One death.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kill {
    /// From outside.
    Random(Moment, Victim),
    /// By the process itself or its worker, at a point of the code: what `TRAINLOOP_FAULT` is to say.
    AtPoint(&'static str, String),
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So many milliseconds after the start.
    Start(u64),
    /// So many batches after the first, if that is not an epoch's last one, and so many microseconds more.
    InEpoch(u64, u64),
    /// After the last batch of an epoch, and so many microseconds more.
    EndOfEpoch(u64),
}

impl Moment {
    /// How much more time passes before the kill.
    #[must_use]
    pub fn more(self) -> Duration {
        match self {
            Self::Start(milliseconds) => Duration::from_millis(milliseconds),
            Self::InEpoch(_, microseconds) | Self::EndOfEpoch(microseconds) => Duration::from_micros(microseconds),
        }
    }
}

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The driver alone; its workers are to notice.
    Driver,
    /// A worker, by its place among the driver's children.
    Worker(usize),
    /// A worker, and right after it the driver.
    Both(usize),
}

/// So many kills: at each point of the code once if there are enough, and the rest at random moments. Half of those are in
/// the middle of an epoch.
#[must_use]
pub fn draw(kills: usize, seed: u64) -> Vec<Kill> {
    let mut random = Random(seed);
    let mut points: Vec<Point> = POINTS.iter().copied().filter(|point| *point != JOURNAL_FLUSH_FOLDER).collect();
    random.shuffle(&mut points);
    // The journal's folder is flushed as the first line is written: with the first kill or never.
    points.insert(0, JOURNAL_FLUSH_FOLDER);
    points.truncate(if kills > points.len() { points.len() } else { kills.div_ceil(2) });
    let mut drawn: Vec<Kill> = (0..kills - points.len()).map(|number| at_random(number, &mut random)).collect();
    let (first, rest) = points.split_first().map_or((None, [].as_slice()), |(first, rest)| (Some(*first), rest));
    drawn.extend(rest.iter().map(|point| at_point(*point, &mut random)));
    random.shuffle(&mut drawn);
    let mut all: Vec<Kill> = first.map(|point| at_point(point, &mut random)).into_iter().collect();
    all.extend(drawn);
    // A sweep removes something after a kill that has left something.
    if let Some(sweep) = all.iter().position(|kill| kill.is_at(SWEEP_REMOVE)) {
        let leaves_something = |kill: &Kill| matches!(kill, Kill::AtPoint(name, _) if LEAVE_SOMETHING.contains(name));
        if let Some(before) = all.iter().position(leaves_something) {
            let kill = all.remove(sweep);
            let before = if sweep < before { before - 1 } else { before };
            all.insert(before + 1, kill);
        } else {
            all.insert(sweep, Kill::AtPoint("manifest/write", "manifest/write=kill@1".to_owned()));
            all.pop();
        }
    }
    all
}

/// After a kill there, something is staged.
const LEAVE_SOMETHING: [&str; 6] = [
    "controller/before-commit",
    "commit/check",
    "manifest/write",
    "manifest/flush",
    "commit/flush-folder",
    "commit/rename",
];

impl Kill {
    fn is_at(&self, point: Point) -> bool {
        matches!(self, Self::AtPoint(name, _) if *name == point.name())
    }
}

fn at_random(number: usize, random: &mut Random) -> Kill {
    let moment = match number % 4 {
        0 | 2 => Moment::InEpoch(1 + random.below(10), random.below(20_000)),
        1 => Moment::EndOfEpoch(random.below(60_000)),
        _ => Moment::Start(random.below(600)),
    };
    let worker = random.below(WORKERS as u64) as usize;
    let victim = match random.below(3) {
        0 => Victim::Driver,
        1 => Victim::Worker(worker),
        _ => Victim::Both(worker),
    };
    Kill::Random(moment, victim)
}

fn at_point(point: Point, random: &mut Random) -> Kill {
    let name = point.name();
    let passing = 1 + random.below(3);
    let is_of_worker = name.starts_with("stage/") || name.starts_with("worker/");
    let action = match random.below(3) {
        1 if is_of_worker => "kill-parent",
        2 if is_of_worker => "kill-both",
        _ => "kill",
    };
    let rank = if is_of_worker { format!(" rank={}", random.below(WORKERS as u64)) } else { String::new() };
    let fault = match point {
        // What comes only after something else has failed, or once.
        STAGE_REMOVE => format!("stage/write=eio@{passing}{rank},{name}={action}{rank}"),
        COMMIT_ABANDON => format!("manifest/write=full@{passing},{name}=kill"),
        JOURNAL_UNDO => format!("journal/write=eio@{passing},{name}=kill"),
        JOURNAL_FLUSH_FOLDER | SWEEP_REMOVE => format!("{name}=kill"),
        WORKER_BEFORE_LOOP => format!("{name}={action}{rank}"),
        _ => format!("{name}={action}@{passing}{rank}"),
    };
    Kill::AtPoint(name, fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_drawn_once_and_the_same_seed_draws_the_same() {
        for seed in 0..50 {
            let kills = draw(50, seed);
            assert_eq!(kills, draw(50, seed));
            assert_eq!(kills.len(), 50);
            for point in POINTS {
                assert_eq!(kills.iter().filter(|kill| kill.is_at(*point)).count(), 1, "{}", point.name());
            }
            assert!(kills[0].is_at(JOURNAL_FLUSH_FOLDER));
            let sweep = kills.iter().position(|kill| kill.is_at(SWEEP_REMOVE)).unwrap();
            assert!(matches!(&kills[sweep - 1], Kill::AtPoint(name, _) if LEAVE_SOMETHING.contains(name)));
        }
        assert_ne!(draw(50, 1), draw(50, 2));
    }

    #[test]
    fn few_kills_are_half_at_random_moments() {
        for seed in 0..200 {
            let kills = draw(6, seed);
            assert_eq!(kills.len(), 6, "{seed}: {kills:?}");
            let sweep = kills.iter().position(|kill| kill.is_at(SWEEP_REMOVE));
            let is_left =
                |at: usize| matches!(&kills[at - 1], Kill::AtPoint(name, _) if LEAVE_SOMETHING.contains(name));
            assert!(sweep.is_none_or(is_left), "{seed}: {kills:?}");
            assert!(kills.iter().filter(|kill| matches!(kill, Kill::Random(..))).count() >= 2, "{seed}: {kills:?}");
        }
    }
}
