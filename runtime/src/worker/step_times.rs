//! What the steps of a training take their time for.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Where a rank's training has spent its time, by two looks at the clock for each phase: from
/// [`Context::step_times`](super::Context::step_times), and of rank 0 in [`Outcome::step_times`](crate::trainer::Outcome). Sums
/// since the loop began; what happens in [`Context::validate`](super::Context::validate) or without gradients is not among them.
///
/// On a GPU an operation is only begun in its phase, and most of what it takes is waited for in a later one.
///
/// ```
/// use std::time::Duration;
/// use trainloop::worker::StepTimes;
///
/// let mut times = StepTimes::default();
/// (times.steps, times.data, times.backward) = (10, Duration::from_millis(5), Duration::from_millis(15));
/// assert_eq!(times.total(), Duration::from_millis(20));
/// assert_eq!(
///     times.to_string(),
///     "2.00 ms a step: data 25 %, forward 0 %, backward 75 %, communication 0 %, optimizer 0 %"
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepTimes {
    /// How many steps optimizers have taken.
    pub steps: u64,
    /// Waiting for the loader.
    #[serde(with = "seconds")]
    pub data: Duration,
    /// In `model.call`.
    #[serde(with = "seconds")]
    pub forward: Duration,
    /// In the pass backward; with `ddp` also what is left of averaging the gradients, which goes on beside it.
    #[serde(with = "seconds")]
    pub backward: Duration,
    /// In the collectives of the context, of a `GradScaler`, and in the broadcast of buffers before a forward pass: with the
    /// waiting for other ranks.
    #[serde(with = "seconds")]
    pub communication: Duration,
    /// In the optimizers' `step`.
    #[serde(with = "seconds")]
    pub optimizer: Duration,
}

impl StepTimes {
    /// All phases together. The loop's own work, such as moving a batch, is in none of them.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.phases().into_iter().map(|(_, time)| time).sum()
    }

    fn phases(&self) -> [(&'static str, Duration); 5] {
        let Self { data, forward, backward, communication, optimizer, .. } = *self;
        [
            ("data", data),
            ("forward", forward),
            ("backward", backward),
            ("communication", communication),
            ("optimizer", optimizer),
        ]
    }
}

/// One line, for people.
impl fmt::Display for StepTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total().as_secs_f64();
        write!(f, "{:.2} ms a step", total * 1e3 / self.steps.max(1) as f64)?;
        for (place, (name, time)) in self.phases().into_iter().enumerate() {
            let percent = if total > 0.0 { time.as_secs_f64() / total * 100.0 } else { 0.0 };
            write!(f, "{} {name} {percent:.0} %", if place == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

/// As other times in `outcome.json`.
mod seconds {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(time.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A part of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Data,
    Forward,
    Backward,
    Communication,
    Optimizer,
}

/// The sums, as they grow.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch(Cell<StepTimes>);

impl Stopwatch {
    pub(crate) fn time<T>(&self, phase: Phase, run: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let value = run();
        let spent = began.elapsed();
        let mut times = self.0.get();
        let sum = match phase {
            Phase::Data => &mut times.data,
            Phase::Forward => &mut times.forward,
            Phase::Backward => &mut times.backward,
            Phase::Communication => &mut times.communication,
            Phase::Optimizer => &mut times.optimizer,
        };
        *sum += spent;
        self.0.set(times);
        value
    }

    pub(crate) fn step(&self) {
        let times = self.0.get();
        self.0.set(StepTimes { steps: times.steps + 1, ..times });
    }

    pub(crate) fn times(&self) -> StepTimes {
        self.0.get()
    }
}
