//! Train loops as types, and how a worker finds one by its name.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CheckpointConfig;
use crate::callback::MetricsType;
use crate::channel::encode;
use crate::error::{BoxError, Result};
use crate::metric::Metrics;
use crate::strategy::Strategy;
use crate::worker::Context;

/// A function with `#[train_loop]`, as a type of the same name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a train loop",
    note = "annotate the function with `#[trainloop::train_loop]` and name it here, without parentheses"
)]
pub trait TrainLoop: 'static {
    /// The loop's config.
    type Config: LoopConfig;
    /// What it reports.
    type Metrics: Metrics;
    /// What it returns.
    type Output: Serialize + DeserializeOwned + 'static;

    /// The loop's path, by which a worker finds it.
    const NAME: &'static str;
    /// The attribute's `strategy`.
    const STRATEGY: Strategy;

    /// The attribute's `checkpoint(…)`.
    #[must_use]
    fn checkpoint() -> CheckpointConfig<Self::Metrics> {
        CheckpointConfig::new()
    }

    /// Runs the loop.
    ///
    /// # Errors
    /// The loop's own.
    fn call(ctx: &mut Context<Self::Metrics>, config: Self::Config) -> Result<Self::Output, BoxError>;
}

/// A train loop's config: it travels to the workers, so it is `Serialize` and `DeserializeOwned`.
pub trait LoopConfig: Serialize + DeserializeOwned + 'static {}

impl<C: Serialize + DeserializeOwned + 'static> LoopConfig for C {}

/// A train loop's first parameter: `&mut Context<M>`, also through a type alias.
#[diagnostic::on_unimplemented(
    message = "a train loop's first parameter is `&mut Context<M>`, not `{Self}`",
    label = "expected `&mut trainloop::worker::Context<M>`"
)]
pub trait ContextParam {
    /// The `M`.
    type Metrics: Metrics;
}

impl<M: Metrics> ContextParam for &mut Context<M> {
    type Metrics = M;
}

/// What a train loop may return: a `Result` with any error and any value that serde can write and read.
#[diagnostic::on_unimplemented(
    message = "a train loop cannot return `{Self}`",
    label = "expected a `Result` whose value serde can write and read",
    note = "return `trainloop::Result<()>`, or a `Result` with an error that converts into `Box<dyn Error + Send + Sync>`"
)]
pub trait LoopReturn {
    /// The value.
    type Output: Serialize + DeserializeOwned + 'static;

    /// With the error boxed.
    ///
    /// # Errors
    /// The loop's own.
    fn into_result(self) -> Result<Self::Output, BoxError>;
}

impl<T: Serialize + DeserializeOwned + 'static, E: Into<BoxError>> LoopReturn for Result<T, E> {
    type Output = T;

    fn into_result(self) -> Result<T, BoxError> {
        self.map_err(Into::into)
    }
}

/// A train loop's entry in the binary's list, where a worker looks it up.
pub struct Registration {
    pub(crate) name: &'static str,
    /// What it reports.
    pub(crate) metrics: fn() -> MetricsType,
    pub(crate) run: fn(crate::worker::Seat) -> Result<Vec<u8>, BoxError>,
}

impl Registration {
    /// The entry of `L`.
    #[must_use]
    pub const fn of<L: TrainLoop>() -> Self {
        Self { name: L::NAME, metrics: MetricsType::of::<L::Metrics>, run: run::<L> }
    }
}

inventory::collect!(Registration);

fn run<L: TrainLoop>(seat: crate::worker::Seat) -> Result<Vec<u8>, BoxError> {
    let config = seat.config()?;
    let mut ctx = Context::new(seat);
    let output = L::call(&mut ctx, config)?;
    Ok(encode(&output, "write the loop's return value")?)
}

/// The train loop of that name in this binary.
pub(crate) fn find(name: &str) -> Option<&'static Registration> {
    inventory::iter::<Registration>.into_iter().find(|registration| registration.name == name)
}
