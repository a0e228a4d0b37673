//! The trainers that there is one for all instead of: naming one gives the `TorchTrainer` form.
//!
//! Ray Train removed its own of these names in the same way: the framework's loop runs inside the one trainer.

use std::convert::Infallible;
use std::marker::PhantomData;

/// There is none: [`TorchTrainer`](super::TorchTrainer) runs Lightning's style of loop as every other.
///
/// ```compile_fail
/// # use trainloop::prelude::*;
/// # #[train_loop] fn train() -> Result<()> { Ok(()) }
/// let trainer = LightningTrainer::<train>::new(());
/// ```
#[derive(Debug)]
pub struct LightningTrainer<L = ()>(Infallible, PhantomData<L>);

impl<L> LightningTrainer<L> {
    /// Does not compile; the message says what to write.
    pub fn new<C: NoLightningTrainer>(config: C) -> Self {
        config.never()
    }
}

/// Implemented by nothing.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "there is no `LightningTrainer`; write `TorchTrainer::<train>::new(config)`",
    label = "one trainer runs every loop",
    note = "as a whole: `TorchTrainer::<train>::new(config).scaling(ScalingConfig::workers(4)).fit()`",
    note = "what Lightning's `Trainer` is told goes into `#[train_loop(…)]`, `ScalingConfig` and `RunConfig`; its hooks become functions with `#[callback(…)]`"
)]
pub trait NoLightningTrainer {
    fn never<T>(self) -> T;
}

/// There is none: [`TorchTrainer`](super::TorchTrainer) runs Transformers's style of loop as every other.
///
/// ```compile_fail
/// # use trainloop::prelude::*;
/// # #[train_loop] fn train() -> Result<()> { Ok(()) }
/// let trainer = TransformersTrainer::<train>::new(());
/// ```
#[derive(Debug)]
pub struct TransformersTrainer<L = ()>(Infallible, PhantomData<L>);

impl<L> TransformersTrainer<L> {
    /// Does not compile; the message says what to write.
    pub fn new<C: NoTransformersTrainer>(config: C) -> Self {
        config.never()
    }
}

/// Implemented by nothing.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "there is no `TransformersTrainer`; write `TorchTrainer::<train>::new(config)`",
    label = "one trainer runs every loop",
    note = "as a whole: `TorchTrainer::<train>::new(config).scaling(ScalingConfig::workers(4)).fit()`",
    note = "what `TrainingArguments` hold goes into the loop's config and `RunConfig`, and the loop itself into `fn train`"
)]
pub trait NoTransformersTrainer {
    fn never<T>(self) -> T;
}

/// There is none: [`TorchTrainer`](super::TorchTrainer) runs Accelerate's style of loop as every other.
///
/// ```compile_fail
/// # use trainloop::prelude::*;
/// # #[train_loop] fn train() -> Result<()> { Ok(()) }
/// let trainer = AccelerateTrainer::<train>::new(());
/// ```
#[derive(Debug)]
pub struct AccelerateTrainer<L = ()>(Infallible, PhantomData<L>);

impl<L> AccelerateTrainer<L> {
    /// Does not compile; the message says what to write.
    pub fn new<C: NoAccelerateTrainer>(config: C) -> Self {
        config.never()
    }
}

/// Implemented by nothing.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "there is no `AccelerateTrainer`; write `TorchTrainer::<train>::new(config)`",
    label = "one trainer runs every loop",
    note = "as a whole: `TorchTrainer::<train>::new(config).scaling(ScalingConfig::workers(4)).fit()`",
    note = "what Accelerate's configuration file says goes into `ScalingConfig`; `prepare` is `ctx.prepare_model` and `ctx.prepare_data_loader`"
)]
pub trait NoAccelerateTrainer {
    fn never<T>(self) -> T;
}
