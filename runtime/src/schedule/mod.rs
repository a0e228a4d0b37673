//! Learning-rate schedules.
//!
//! A [`Schedule`] is a pure function from the number of steps taken to a factor, by which every parameter group's
//! [initial](crate::optim::Group::initial_learning_rate) learning rate is multiplied:
//!
//! - [`ConstantLr`]: one factor, for ever or for some steps;
//! - [`LinearWarmup`]: from a start factor up to 1, then 1;
//! - [`CosineLr`]: with a warm-up or without, down a cosine to a minimum;
//! - [`StepLr`]: down by a factor every so many steps.
//!
//! [`attach`](Schedule::attach) checks its numbers, gives the optimizer the rate of its first step, and returns the
//! [`Scheduler`], which counts. A schedule that is not attached has no `step`, so the first rate cannot be forgotten.
//!
//! ```no_run
//! use trainloop::prelude::*;
//!
//! # fn main() -> trainloop::Result<()> {
//! # let vars = tch::nn::VarStore::new(tch::Device::Cpu);
//! # let loss = || tch::Tensor::new();
//! let mut optimizer = AdamW::builder(3e-3).build(&vars)?;
//! let mut schedule = CosineLr::new(10_000).warmup(100).min_factor(0.01).attach(&mut optimizer)?;
//! for _ in 0..10_000 {
//!     optimizer.backward_step(&loss())?;
//!     schedule.step(&mut optimizer)?; // after the optimizer's step, as in PyTorch
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The numbers are those of PyTorch's closed forms. What a step is, is the loop's choice: call `step` once an epoch, and
//! the schedule's numbers count epochs.

mod constant;
mod cosine;
mod numbers;
mod scheduler;
mod step;
mod warmup;

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::optim::{Optimizer, Rule};

pub use constant::ConstantLr;
pub use cosine::CosineLr;
pub use scheduler::{Scheduler, SchedulerState};
pub use step::StepLr;
pub use warmup::LinearWarmup;

/// A learning rate over time, as a factor of the optimizer's initial one. Its numbers are saved in checkpoints, to be
/// compared with those of the run that goes on.
///
/// One of your own is a struct with serde's derives:
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use trainloop::schedule::Schedule;
///
/// /// Falls with the inverse square root, as in "Attention Is All You Need".
/// #[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
/// struct InverseSquareRoot {
///     warmup: u32,
/// }
///
/// impl Schedule for InverseSquareRoot {
///     fn factor(&self, step: u64) -> f64 {
///         let (step, warmup) = ((step + 1) as f64, f64::from(self.warmup.max(1)));
///         (step / warmup).min((warmup / step).sqrt())
///     }
/// }
///
/// assert_eq!(InverseSquareRoot { warmup: 100 }.factor(399), 0.5);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a learning-rate schedule",
    note = "`trainloop::schedule` has `ConstantLr`, `LinearWarmup`, `CosineLr` and `StepLr`; \
            implement `Schedule` for one of your own"
)]
pub trait Schedule: Debug + Clone + PartialEq + Serialize + DeserializeOwned + 'static {
    /// The factor of the learning rate for the step that follows `step` others: `factor(0)` is the first step's.
    fn factor(&self, step: u64) -> f64;

    /// Refuses numbers that cannot be right; [`attach`](Self::attach) calls it.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config), or one of your own.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Begins the schedule at step 0: gives the optimizer the learning rate of its first step.
    ///
    /// # Errors
    /// Those of [`validate`](Self::validate), and [`Error::Config`](crate::Error::Config) where the first factor is
    /// negative or not finite; the optimizer is as it was then.
    fn attach<R: Rule>(self, optimizer: &mut Optimizer<R>) -> Result<Scheduler<Self>> {
        Scheduler::new(self, optimizer)
    }
}
