//! When the ranks ask each other whether one of them wishes something, so that all act on it at one step.
//!
//! Asking is an all-reduce of four numbers, some 0.1 ms on one machine. It is done about every tenth of a second: rank 0
//! measures the steps and sets the distance to the next question, which travels with the answer, so that all ranks ask at
//! the same step.

use std::time::{Duration, Instant};

use crate::c10d::ReduceOp;
use crate::error::Result;

/// How long a wish may wait for the next question.
const INTERVAL: Duration = Duration::from_millis(100);
const MAX_STEPS: i64 = 10_000;

/// What some rank wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wish {
    /// A checkpoint, and then the end.
    pub(super) stop: bool,
    /// A checkpoint.
    pub(super) save: bool,
    /// The loop's own end.
    pub(super) finish: bool,
}

/// One rank's side of the asking.
#[derive(Debug)]
pub(super) struct Agreement {
    /// Steps until the next question.
    left: i64,
    /// Steps between the last question and the next.
    interval: i64,
    asked: Option<Instant>,
}

impl Default for Agreement {
    fn default() -> Self {
        Self { left: 1, interval: 1, asked: None }
    }
}

impl Agreement {
    /// One step: where it is time, combines the ranks' wishes by `all_reduce`.
    pub(super) fn step(
        &mut self,
        wish: impl FnOnce() -> Wish,
        rank: usize,
        all_reduce: impl FnOnce([i64; 4], ReduceOp) -> Result<[i64; 4]>,
    ) -> Result<Wish> {
        self.left -= 1;
        if self.left > 0 {
            return Ok(Wish::default());
        }
        let proposal = if rank == 0 { self.proposal(Instant::now()) } else { 0 };
        let Wish { stop, save, finish } = wish();
        let [stop, save, finish, interval] =
            all_reduce([stop.into(), save.into(), finish.into(), proposal], ReduceOp::Max)?;
        self.interval = interval.max(1);
        self.left = self.interval;
        Ok(Wish { stop: stop != 0, save: save != 0, finish: finish != 0 })
    }

    /// So many steps as fit into the interval, by the pace since the last question.
    fn proposal(&mut self, now: Instant) -> i64 {
        let last = self.asked.replace(now);
        let Some(last) = last else { return 1 };
        let per_step = now.duration_since(last).as_secs_f64() / self.interval as f64;
        let steps = (INTERVAL.as_secs_f64() / per_step.max(1e-9)) as i64;
        // At most double: one quick step must not make the ranks deaf to the next slow ones.
        steps.clamp(1, (self.interval * 2).min(MAX_STEPS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ranks whose collectives only meet if both ask at the same step.
    #[test]
    fn ranks_ask_at_the_same_steps_and_hear_each_other() {
        let mut ranks = [Agreement::default(), Agreement::default()];
        let (mut heard, mut finish) = (None, None);
        for step in 0..1000 {
            let mut sent = Vec::new();
            for (rank, agreement) in ranks.iter_mut().enumerate() {
                let mut copy = Agreement { left: agreement.left, interval: agreement.interval, asked: agreement.asked };
                let wish = || Wish { stop: rank == 1 && step >= 500, finish: rank == 0 && step >= 300, save: false };
                copy.step(wish, rank, |values, _| {
                    sent.push(values);
                    Ok(values)
                })
                .unwrap();
            }
            assert!(sent.is_empty() || sent.len() == 2, "one rank asked alone at step {step}");
            let combined = [0, 1, 2, 3].map(|place| sent.iter().map(|values| values[place]).max().unwrap_or(0));
            let answers =
                ranks.each_mut().map(|agreement| agreement.step(Wish::default, 0, |_, _| Ok(combined)).unwrap());
            assert_eq!(answers[0], answers[1]);
            if answers[0].stop && heard.is_none() {
                heard = Some(step);
            }
            if answers[0].finish && finish.is_none() {
                finish = Some(step);
            }
        }
        assert!(heard.is_some_and(|step| step >= 500), "{heard:?}");
        assert!(finish.is_some_and(|step| step >= 300), "{finish:?}");
    }
}
