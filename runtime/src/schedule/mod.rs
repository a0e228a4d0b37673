//! Learning-rate schedules.
//!
//! A [`Schedule`] is a pure function from the number of steps taken to a factor, by which every parameter group's
//! [initial](crate::optim::Group::initial_learning_rate) learning rate is multiplied:
//!
//! | schedule | the learning rate | elsewhere |
//! |---|---|---|
//! | [`ConstantLr`] | one factor, for ever or for some steps | `ConstantLR` |
//! | [`StepLr`] | down by a factor every so many steps | `StepLR` |
//! | [`MultiStepLr`] | down by a factor at chosen steps | `MultiStepLR` |
//! | [`ExponentialLr`] | down by a factor every step | `ExponentialLR` |
//! | [`LinearWarmup`] | from a start factor up to 1, then 1; [before](LinearWarmup::before) any other | `LinearLR`, `constant_with_warmup` |
//! | [`PolynomialLr`] | with a warm-up or without, down in a straight line or a power | `PolynomialLR`, `linear`, `polynomial` |
//! | [`CosineLr`] | with a warm-up or without, down a cosine to a minimum | `CosineAnnealingLR`, `cosine`, `cosine_with_min_lr` |
//! | [`CosineRestartsLr`] | down a cosine again and again | `CosineAnnealingWarmRestarts`, `cosine_with_restarts` |
//! | [`OneCycleLr`] | up and far down; the momentum the other way | `OneCycleLR` |
//! | [`WarmupStableDecayLr`] | up, along, down | `warmup_stable_decay` |
//! | [`InverseSqrtLr`] | up, then down with the inverse square root | `inverse_sqrt` |
//! | [`SequentialLr`] | one after [another](Schedule::then) | `SequentialLR` |
//!
//! The last column has the names of `torch.optim.lr_scheduler` and of Transformers' `lr_scheduler_type`.
//! [`ReduceOnPlateau`] is no function of the step: it is [told a metric](PlateauScheduler::step), and keeps a state.
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
//! The numbers are those of PyTorch's closed forms, to the last bit where both multiply by the same factor. What a step is, is the loop's choice: call `step` once an epoch, and
//! the schedule's numbers count epochs.

mod constant;
mod cosine;
mod curve;
mod exponential;
mod inverse_sqrt;
mod multi_step;
mod numbers;
mod one_cycle;
mod plateau;
mod polynomial;
mod restarts;
mod scheduler;
mod sequential;
mod stable;
mod step;
mod warmup;

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::optim::{Optimizer, Rule};

pub use constant::ConstantLr;
pub use cosine::CosineLr;
pub use curve::Curve;
pub use exponential::ExponentialLr;
pub use inverse_sqrt::InverseSqrtLr;
pub use multi_step::MultiStepLr;
pub use one_cycle::OneCycleLr;
pub use plateau::{Better, PlateauScheduler, PlateauState, ReduceOnPlateau, Threshold};
pub use polynomial::PolynomialLr;
pub use restarts::CosineRestartsLr;
pub use scheduler::{Scheduler, SchedulerState};
pub use sequential::SequentialLr;
pub use stable::WarmupStableDecayLr;
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
/// /// Up and down in straight lines, again and again, as in Smith, "Cyclical Learning Rates" (2017).
/// #[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
/// struct Triangles {
///     half: u32,
/// }
///
/// impl Schedule for Triangles {
///     fn factor(&self, step: u64) -> f64 {
///         let half = u64::from(self.half.max(1));
///         let place = step % (2 * half);
///         place.min(2 * half - place) as f64 / half as f64
///     }
/// }
///
/// assert_eq!([0, 5, 10, 15].map(|step| Triangles { half: 10 }.factor(step)), [0.0, 0.5, 1.0, 0.5]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a learning-rate schedule",
    note = "`trainloop::schedule` has `CosineLr`, `StepLr`, `LinearWarmup`, `OneCycleLr` and more; \
            implement `Schedule` for one of your own"
)]
pub trait Schedule: Debug + Clone + PartialEq + Serialize + DeserializeOwned + 'static {
    /// The factor of the learning rate for the step that follows `step` others: `factor(0)` is the first step's.
    fn factor(&self, step: u64) -> f64;

    /// The learning rate of a group whose initial one is `initial`, for the step that follows `step` others.
    ///
    /// It is the factor times that. A schedule of this crate may take another order of operations: PyTorch's, for the last
    /// bit's sake.
    fn rate(&self, initial: f64, step: u64) -> f64 {
        initial * self.factor(step)
    }

    /// The momentum for the step that follows `step` others; none where the schedule leaves it alone, as most do.
    fn momentum(&self, step: u64) -> Option<f64> {
        let _ = step;
        None
    }

    /// This schedule for so many steps, then `next` from its own first step.
    fn then<S: Schedule>(self, steps: u64, next: S) -> SequentialLr<Self, S> {
        SequentialLr::new(self, steps, next)
    }

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
    /// negative or not finite, or the schedule has a momentum and the optimizer has none; the optimizer is as it was then.
    fn attach<R: Rule>(self, optimizer: &mut Optimizer<R>) -> Result<Scheduler<Self>> {
        Scheduler::new(self, optimizer)
    }
}
