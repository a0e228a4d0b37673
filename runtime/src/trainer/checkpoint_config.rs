//! What is kept of a run's checkpoints, and when one is made by itself.

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Which checkpoints are kept, and when `ctx.step` makes one by itself. `M` is what the loop reports.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// use trainloop::trainer::CheckpointConfig;
/// # #[derive(trainloop::Metrics, Serialize, Deserialize, Clone)]
/// # struct EpochMetrics { val_accuracy: f64 }
///
/// let config = CheckpointConfig::new()
///     .keep(3)
///     .score_max(|metrics: &EpochMetrics| metrics.val_accuracy)
///     .every_steps(1000);
/// ```
pub struct CheckpointConfig<M> {
    keep: Option<usize>,
    score: Option<Score<M>>,
    every: Every,
    when_busy: Option<WhenBusy>,
}

/// What checkpoints are ranked by.
struct Score<M> {
    maximize: bool,
    of: Rc<dyn Fn(&M) -> f64>,
}

impl<M> Clone for Score<M> {
    fn clone(&self) -> Self {
        Self { maximize: self.maximize, of: Rc::clone(&self.of) }
    }
}

/// What an asynchronous checkpoint does while the one before is still being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WhenBusy {
    /// Waits for it: every checkpoint is made.
    Wait,
    /// Takes its place: the older one is given up, unless it is written by now. Its report stays.
    Replace,
}

/// When `ctx.step` makes a checkpoint by itself.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Every {
    pub(crate) steps: Option<u64>,
    pub(crate) time: Option<Duration>,
}

impl<M> CheckpointConfig<M> {
    /// Says nothing: unless the loop's attribute does, every checkpoint is kept, the newest counts as the best, and none is
    /// made by itself.
    #[must_use]
    pub fn new() -> Self {
        Self { keep: None, score: None, every: Every::default(), when_busy: None }
    }

    /// Keeps the best so many (without a score, the newest), and always the newest and those in use.
    #[must_use]
    pub fn keep(mut self, keep: usize) -> Self {
        self.keep = Some(keep);
        self
    }

    /// The best checkpoint is that with the largest score. Finite numbers come first, then infinities, then NaN; among
    /// equals the newer is better. A checkpoint without metrics, made by `ctx.step`, comes last.
    #[must_use]
    pub fn score_max(mut self, of: impl Fn(&M) -> f64 + 'static) -> Self {
        self.score = Some(Score { maximize: true, of: Rc::new(of) });
        self
    }

    /// The best checkpoint is that with the smallest score; otherwise as [`score_max`](Self::score_max).
    #[must_use]
    pub fn score_min(mut self, of: impl Fn(&M) -> f64 + 'static) -> Self {
        self.score = Some(Score { maximize: false, of: Rc::new(of) });
        self
    }

    /// `ctx.step` makes a checkpoint at every multiple of so many steps.
    #[must_use]
    pub fn every_steps(mut self, steps: u64) -> Self {
        self.every.steps = Some(steps);
        self
    }

    /// `ctx.step` makes a checkpoint when so much time has passed since the last one.
    #[must_use]
    pub fn every_time(mut self, time: Duration) -> Self {
        self.every.time = Some(time);
        self
    }

    /// Checkpoints are written and committed while the loop goes on: `ctx.report_with` and `ctx.step` return when the tensors
    /// are copied. What is saved is the state at the call. A checkpoint exists when it is committed, as ever; where that
    /// fails, the next `report`, `report_with` or `step` has the error, or the loop's end, which waits for it. The one before a
    /// stop is waited for.
    ///
    /// It takes the memory of one more copy of this rank's part: rank 0's is the whole state, the others' what is their own.
    /// [`Files`](crate::worker::Files) are written before the call returns.
    #[must_use]
    pub fn asynchronous(mut self, when_busy: WhenBusy) -> Self {
        self.when_busy = Some(when_busy);
        self
    }

    /// What is said here, and of the rest what `defaults` says.
    pub(crate) fn over(self, defaults: Self) -> Self {
        Self {
            keep: self.keep.or(defaults.keep),
            score: self.score.or(defaults.score),
            every: Every {
                steps: self.every.steps.or(defaults.every.steps),
                time: self.every.time.or(defaults.every.time),
            },
            when_busy: self.when_busy.or(defaults.when_busy),
        }
    }

    pub(crate) fn keep_count(&self) -> Option<NonZeroUsize> {
        self.keep.and_then(NonZeroUsize::new)
    }

    /// True for the largest, false for the smallest; `None` without a score.
    pub(crate) fn maximizes(&self) -> Option<bool> {
        self.score.as_ref().map(|score| score.maximize)
    }

    pub(crate) fn score(&self, metrics: &M) -> Option<f64> {
        self.score.as_ref().map(|score| (score.of)(metrics))
    }

    pub(crate) fn when_busy(&self) -> Option<WhenBusy> {
        self.when_busy
    }

    pub(crate) fn every(&self) -> Every {
        self.every
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let reason = if self.keep == Some(0) {
            "`keep = 0` would keep no checkpoint to go on from; keep at least 1"
        } else if self.every.steps == Some(0) {
            "a checkpoint every 0 steps is none; give the number of steps between two"
        } else if self.every.time.is_some_and(|time| time.is_zero()) {
            "a checkpoint every 0 seconds leaves no time to train; give the time between two"
        } else {
            return Ok(());
        };
        Err(Error::config(reason))
    }
}

impl<M> Default for CheckpointConfig<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Clone for CheckpointConfig<M> {
    fn clone(&self) -> Self {
        Self { keep: self.keep, score: self.score.clone(), every: self.every, when_busy: self.when_busy }
    }
}

impl<M> std::fmt::Debug for CheckpointConfig<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointConfig")
            .field("keep", &self.keep)
            .field("score", &self.maximizes().map(|max| if max { "max" } else { "min" }))
            .field("every", &self.every)
            .field("when_busy", &self.when_busy)
            .finish()
    }
}

/// A number by which checkpoints can be ranked.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a score: checkpoints are ranked by a number",
    label = "not a number",
    note = "name a field of type `f64`, `f32` or an integer"
)]
pub trait ScoreValue {
    /// As a float.
    fn score(&self) -> f64;
}

macro_rules! scores {
    ($($number:ty),*; $convert:expr) => {$(
        impl ScoreValue for $number {
            fn score(&self) -> f64 {
                $convert(*self)
            }
        }
    )*};
}

scores!(i8, i16, i32, u8, u16, u32, f32, f64; f64::from);
// The nearest float: what these tell apart above 2⁵³ is no matter for a ranking.
scores!(i64; |value| value as f64);
scores!(u64; |value| value as f64);
scores!(isize; |value| value as f64);
scores!(usize; |value| value as f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        CheckpointConfig::<()>::new().keep(1).every_steps(1).validate().unwrap();
        for config in [
            CheckpointConfig::<()>::new().keep(0),
            CheckpointConfig::new().every_steps(0),
            CheckpointConfig::new().every_time(Duration::ZERO),
        ] {
            config.validate().unwrap_err();
        }
    }
}
