//! Which faults a run is to live through, and when each comes: drawn from a seed.

use std::net::Shutdown;
use std::time::Duration;

use trainloop_checkpoint::fault::{COMMIT_RENAME, MANIFEST_WRITE, Point, STAGE_CREATE, STAGE_FLUSH, STAGE_WRITE};

use super::WORKERS;
use super::random::Random;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to a rank.
    Kill(usize),
    /// SIGSTOP to a rank: its process and its connections are there, and it says nothing.
    Stop(usize),
    /// A rank is stopped and goes on, again and again, for longer than it may be silent: it is slow, and alive.
    Slow(usize),
    /// The socket between a rank and the driver is shut down, in one direction or both, as the rank sees it.
    DropChannel(usize, Shutdown),
    /// There is no room at this point of a checkpoint, until that has happened once.
    FullDisk(Point),
}

/// How many kinds there are.
pub const KINDS: usize = 5;

/// A fault and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Since the run's first step; later where the run has not yet come back from the fault before.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

/// So many of each kind, in any order, spread over that time.
#[must_use]
pub fn draw_faults(of_each: usize, time: Duration, seed: u64) -> Vec<Planned> {
    let mut random = Random(seed);
    let mut directions = [Shutdown::Both, Shutdown::Read, Shutdown::Write];
    random.shuffle(&mut directions);
    // No room for a line of the journal costs no generation where that line is of a removal, which makes room.
    let mut points = [STAGE_CREATE, STAGE_WRITE, STAGE_FLUSH, MANIFEST_WRITE, COMMIT_RENAME];
    random.shuffle(&mut points);
    let mut faults = Vec::new();
    for number in 0..of_each {
        let mut rank = || random.below(WORKERS as u64) as usize;
        faults.extend([
            Fault::Kill(rank()),
            Fault::Stop(rank()),
            Fault::Slow(rank()),
            Fault::DropChannel(rank(), directions[number % directions.len()]),
            Fault::FullDisk(points[number % points.len()]),
        ]);
    }
    random.shuffle(&mut faults);
    // Each has a part of the time for itself, and comes in that part's first half.
    let part = time / faults.len().max(1) as u32;
    let within = part.as_millis() as u64 / 2;
    let planned =
        |(number, fault)| Planned { at: part * number as u32 + Duration::from_millis(random.below(within)), fault };
    faults.into_iter().enumerate().map(planned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_of_each_kind_in_order_of_time_and_the_same_seed_draws_the_same() {
        let time = Duration::from_secs(300);
        for seed in 0..50 {
            let faults = draw_faults(5, time, seed);
            assert_eq!(faults, draw_faults(5, time, seed));
            let count = |is: fn(&Fault) -> bool| faults.iter().filter(|planned| is(&planned.fault)).count();
            assert_eq!(count(|fault| matches!(fault, Fault::Kill(_))), 5);
            assert_eq!(count(|fault| matches!(fault, Fault::Stop(_))), 5);
            assert_eq!(count(|fault| matches!(fault, Fault::Slow(_))), 5);
            assert_eq!(count(|fault| matches!(fault, Fault::DropChannel(..))), 5);
            assert_eq!(count(|fault| matches!(fault, Fault::FullDisk(_))), 5);
            assert_eq!(faults.len(), 5 * KINDS);
            assert!(faults.is_sorted_by_key(|planned| planned.at));
            assert!(faults.last().unwrap().at < time);
        }
        assert_ne!(draw_faults(5, time, 1), draw_faults(5, time, 2));
    }
}
