//! What a train loop may take and return: the traits that generated code asks of a signature's types.

use super::TrainLoop;
use super::call::{self, Beside};
use crate::channel::Travels;
use crate::error::{BoxError, Result};
use crate::metric::Metrics;
use crate::state::TrainState;
use crate::worker::{Context, Seat};

/// What a train loop's `&mut` parameter of that name lends: `Context<M>`, also through a type alias.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the `Context<M>` that a train loop is lent",
    label = "expected `trainloop::worker::Context<M>`"
)]
pub trait ContextParam {
    /// The `M`.
    type Metrics: Metrics;
}

impl<M: Metrics> ContextParam for Context<M> {
    type Metrics = M;
}

/// A train loop's state, which is built before the loop's first line: a parameter `state: &mut S`.
///
/// [`init`](Self::init) builds it as for a new run. Where the run goes on from a checkpoint, that is restored into it. So the
/// body holds nothing but the loop:
///
/// ```no_run
/// use serde::{Deserialize, Serialize};
/// use tch::nn::Linear;
/// use trainloop::prelude::*;
///
/// #[derive(Serialize, Deserialize)]
/// struct Config { lr: f64, epochs: u64 }
///
/// #[derive(Metrics, Serialize, Deserialize, Clone)]
/// struct EpochMetrics { #[metric(reduce = mean)] loss: f64 }
///
/// #[derive(TrainState)]
/// struct State { model: Model<Linear>, optimizer: AdamW, #[state(serde)] epoch: u64 }
///
/// impl InitState<EpochMetrics, Config> for State {
///     fn init(ctx: &mut Context<EpochMetrics>, config: &Config) -> Result<Self> {
///         let model = ctx.prepare_model(|path| tch::nn::linear(path, 64, 10, Default::default()))?;
///         let optimizer = AdamW::builder(config.lr).build(&model)?;
///         Ok(Self { model, optimizer, epoch: 0 })
///     }
/// }
///
/// #[train_loop(checkpoint(keep = 3, score = min(loss)))]
/// fn train(ctx: &mut Context<EpochMetrics>, state: &mut State, config: Config) -> Result<()> {
///     while state.epoch < config.epochs {
///         // … train …
///         state.epoch += 1;
///         ctx.report_with(EpochMetrics { loss: 0.5 }, state)?;
///     }
///     Ok(())
/// }
/// # fn main() {}
/// ```
///
/// `M` is what the loop reports, `C` its config; both are `()` in a loop without them.
#[diagnostic::on_unimplemented(
    message = "a train loop cannot build its state `{Self}`: it does not implement `InitState<{M}, {C}>`",
    label = "the state of a loop with the metrics `{M}` and the config `{C}`",
    note = "a `&mut` parameter is the context, `&mut Context<M>`, or the state",
    note = "write `impl InitState<{M}, {C}> for {Self} {{ fn init(ctx: &mut Context<{M}>, config: &{C}) -> Result<Self> {{ … }} }}`"
)]
pub trait InitState<M, C>: TrainState + Sized {
    /// The state of a new run.
    ///
    /// # Errors
    /// Those of what it builds; the run ends with it.
    fn init(ctx: &mut Context<M>, config: &C) -> Result<Self>;
}

/// The one `&mut` parameter of a loop in which no type is called `Context`: a context under another name, or a state.
#[diagnostic::on_unimplemented(
    message = "a train loop cannot be lent `{Self}`: it is neither `Context<M>` nor a state",
    label = "expected `trainloop::worker::Context<M>`, or a type that implements `InitState<(), {C}>`",
    note = "take the config by value: `config: Config`"
)]
pub trait Lent<C>: Sized {
    /// What the loop reports.
    type Metrics: Metrics;

    /// Runs the loop with it at a seat; gives what it returns, encoded.
    ///
    /// # Errors
    /// The loop's own.
    #[doc(hidden)]
    fn run<L: TrainLoop<Config = C>>(
        seat: Seat,
        call: impl FnOnce(&mut Self, C, Beside) -> Result<L::Output, BoxError>,
    ) -> Result<Vec<u8>, BoxError>;
}

#[diagnostic::do_not_recommend]
impl<M: Metrics, C> Lent<C> for Context<M> {
    type Metrics = M;

    fn run<L: TrainLoop<Config = C>>(
        seat: Seat,
        call: impl FnOnce(&mut Self, C, Beside) -> Result<L::Output, BoxError>,
    ) -> Result<Vec<u8>, BoxError> {
        call::run::<L, M>(seat, call)
    }
}

#[diagnostic::do_not_recommend]
impl<S: TrainState + InitState<(), C>, C> Lent<C> for S {
    type Metrics = ();

    fn run<L: TrainLoop<Config = C>>(
        seat: Seat,
        call: impl FnOnce(&mut Self, C, Beside) -> Result<L::Output, BoxError>,
    ) -> Result<Vec<u8>, BoxError> {
        call::run_with_state::<L, S>(seat, call)
    }
}

/// What a train loop may return: a `Result` with any error and any value that serde can write and read.
#[diagnostic::on_unimplemented(
    message = "a train loop cannot return `{Self}`",
    label = "expected a `Result` whose value serde can write and read",
    note = "return `trainloop::Result<()>`, or a `Result` with an error that converts into `Box<dyn Error + Send + Sync>`"
)]
pub trait LoopReturn {
    /// The value.
    type Output: Travels;

    /// With the error boxed.
    ///
    /// # Errors
    /// The loop's own.
    fn into_result(self) -> Result<Self::Output, BoxError>;
}

#[diagnostic::do_not_recommend]
impl<T: Travels, E: Into<BoxError>> LoopReturn for Result<T, E> {
    type Output = T;

    fn into_result(self) -> Result<T, BoxError> {
        self.map_err(Into::into)
    }
}
