//! The accelerator itself.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

use tch::Tensor;
use tch::nn::VarStore;

use super::builder::{AcceleratorBuilder, MixedPrecision};
use super::optimizer::AcceleratedOptimizer;
use super::prepare::Prepare;
use super::registry::Registry;
use crate::c10d::{JoinOptions, aten};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::metric::Metrics;
use crate::optim::{GradScaler, Moment, NormType, Rule};
use crate::state::TrainState;
use crate::strategy::{Model, ModelOptions};
use crate::worker::Context;

/// Accelerate's `Accelerator`, made from the context of a train loop: see the [module](super).
///
/// Methods have Accelerate's names, without the underscore at their end.
pub struct Accelerator<'a, M = ()> {
    pub(super) ctx: &'a mut Context<M>,
    pub(super) options: AcceleratorBuilder,
    pub(super) scaler: Option<Rc<RefCell<GradScaler>>>,
    pub(super) registry: Registry,
    /// Calls of `accumulate`, where no loader says how its batches fall into windows.
    calls: Cell<usize>,
}

impl Accelerator<'_> {
    /// Begins an accelerator with Accelerate's defaults.
    pub fn builder() -> AcceleratorBuilder {
        AcceleratorBuilder::default()
    }
}

impl<'a, M> Accelerator<'a, M> {
    pub(super) fn new(
        ctx: &'a mut Context<M>,
        options: AcceleratorBuilder,
        scaler: Option<Rc<RefCell<GradScaler>>>,
        registry: Registry,
    ) -> Self {
        Self { ctx, options, scaler, registry, calls: Cell::default() }
    }

    /// The loop's context, for everything that Accelerate has no name for, such as reports.
    pub fn context(&mut self) -> &mut Context<M> {
        self.ctx
    }

    /// Prepares a net with its variables, an optimizer, a loader, a schedule, or a tuple of any of them in any order: see
    /// [`Prepare`]. Collective where a net is among them.
    ///
    /// The accelerator keeps a handle of each for [`save_state`](Self::save_state). What was prepared first is the first of its
    /// kind in checkpoints: prepare in the same order in every run.
    ///
    /// # Errors
    /// Those of [`Context::prepare_model`], [`Context::prepare_data_loader`]; [`Error::Config`] for a second optimizer with
    /// [`MixedPrecision::Fp16`], and where a batch size cannot be split over the ranks.
    pub fn prepare<P: Prepare>(&mut self, objects: P) -> Result<P::Prepared> {
        objects.prepare(self)
    }

    pub(super) fn model_options(&self) -> ModelOptions {
        let options = ModelOptions::default();
        self.options.precision.kind().map_or(options, |kind| options.autocast(kind))
    }

    /// The scale moves after each step, and another optimizer's gradients would still be scaled by the one before.
    pub(super) fn refuse_second_scaled_optimizer(&self) -> Result<()> {
        if self.scaler.is_none() || self.registry.count("optimizer") == 0 {
            return Ok(());
        }
        Err(Error::config(
            "a second optimizer was given to `prepare`, and with MixedPrecision::Fp16 there can be one; use Bf16, or a \
             `GradScaler` for each in a loop over the context",
        ))
    }

    /// Runs the passes and the step of one batch. Inside a window gradients stay on their ranks, and a prepared optimizer's and
    /// schedule's `step` do nothing.
    ///
    /// How batches fall into windows is known to the prepared loaders. Where none was prepared, each call counts as a batch, and
    /// all batches of a window weigh the same.
    ///
    /// # Errors
    /// The closure's.
    pub fn accumulate<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let steps = self.options.accumulation;
        if steps > 1 && self.registry.count("loader") == 0 {
            let place = self.calls.replace(self.calls.get() + 1) % steps;
            self.ctx.loss_weight().set(Moment {
                weight: 1.0 / steps as f64,
                begins_window: place == 0,
                ends_window: place + 1 == steps,
            });
        }
        run()
    }

    /// True at a window's end, where gradients are averaged over the ranks and the optimizer steps.
    #[must_use]
    pub fn sync_gradients(&self) -> bool {
        self.ctx.loss_weight().moment().ends_window
    }

    /// [`Model::no_sync`].
    pub fn no_sync<N, T>(&self, model: &Model<N>, run: impl FnOnce() -> T) -> T {
        model.no_sync(run)
    }

    /// [`Model::join`], with the defaults. Prepared loaders need none.
    ///
    /// # Errors
    /// As there.
    pub fn join_uneven_inputs<N, T>(&self, model: &Model<N>, run: impl FnOnce() -> Result<T>) -> Result<T> {
        model.join(JoinOptions::default(), run)
    }

    /// The pass backward: from the loss (a mean over the rank's samples) times its share of the window and, in float16, the scale.
    ///
    /// # Errors
    /// Those of [`Optimizer::backward`](crate::optim::Optimizer::backward).
    pub fn backward(&self, loss: &Tensor) -> Result<()> {
        match &self.scaler {
            Some(scaler) => self.ctx.loss_weight().backward(&scaler.borrow().scale(loss)?),
            None => self.ctx.loss_weight().backward(loss),
        }
    }

    /// Divides a prepared optimizer's gradients by the scale, where there is one, at a window's end;
    /// [`clip_grad_norm`](Self::clip_grad_norm) and [`clip_grad_value`](Self::clip_grad_value) do it by themselves.
    ///
    /// # Errors
    /// Those of [`GradScaler::unscale`].
    pub fn unscale_gradients<R: Rule>(&self, optimizer: &mut AcceleratedOptimizer<R>) -> Result<()> {
        if optimizer.syncs() { optimizer.unscale() } else { Ok(()) }
    }

    /// [`Optimizer::clip_grad_norm`](crate::optim::Optimizer::clip_grad_norm) at a window's end, with the norm before; inside a
    /// window, where gradients are not whole, nothing is done and there is `None`.
    ///
    /// # Errors
    /// Its own, and those of [`GradScaler::unscale`].
    pub fn clip_grad_norm<R: Rule>(
        &self,
        optimizer: &mut AcceleratedOptimizer<R>,
        max_norm: f64,
    ) -> Result<Option<Tensor>> {
        self.clip_grad_norm_with(optimizer, max_norm, NormType::L2)
    }

    /// [`clip_grad_norm`](Self::clip_grad_norm) by another norm.
    ///
    /// # Errors
    /// As there.
    pub fn clip_grad_norm_with<R: Rule>(
        &self,
        optimizer: &mut AcceleratedOptimizer<R>,
        max_norm: f64,
        norm_type: NormType,
    ) -> Result<Option<Tensor>> {
        if !optimizer.syncs() {
            return Ok(None);
        }
        optimizer.unscale()?;
        optimizer.lend_mut()?.clip_grad_norm_with(max_norm, norm_type).map(Some)
    }

    /// [`Optimizer::clip_grad_value`](crate::optim::Optimizer::clip_grad_value) at a window's end; inside a window nothing is done.
    ///
    /// # Errors
    /// Its own, and those of [`GradScaler::unscale`].
    pub fn clip_grad_value<R: Rule>(&self, optimizer: &mut AcceleratedOptimizer<R>, max: f64) -> Result<()> {
        if !optimizer.syncs() {
            return Ok(());
        }
        optimizer.unscale()?;
        optimizer.lend_mut()?.clip_grad_value(max)
    }

    /// Runs a closure in mixed precision, as the forward passes of prepared models are: for losses that are to be, too.
    ///
    /// # Errors
    /// The closure's; that of [`aten::autocast`] on a device that has none.
    pub fn autocast<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.options.precision.kind() {
            Some(kind) => aten::autocast(self.device(), kind, run)?,
            None => run(),
        }
    }

    /// Has checkpoints hold a value of one's own, beside what was prepared, and gives the handle to work with.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # use trainloop::accelerate::Accelerator;
    /// #[derive(TrainState, Default)]
    /// struct Progress {
    ///     #[state(serde)]
    ///     epoch: u64,
    /// }
    ///
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// let mut accelerator = Accelerator::builder().build(ctx)?;
    /// let progress = accelerator.register_for_checkpointing(Progress::default());
    /// accelerator.load_state()?;
    /// while progress.borrow().epoch < 10 {
    ///     // … train …
    ///     progress.borrow_mut().epoch += 1;
    ///     accelerator.save_state()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn register_for_checkpointing<T: TrainState + 'static>(&mut self, value: T) -> Rc<RefCell<T>> {
        let value = Rc::new(RefCell::new(value));
        self.registry.add("custom", Rc::clone(&value));
        value
    }

    /// [`Context::save_state`] of everything that was prepared and registered. Collective. Where it lies, and which are kept, is
    /// the run's: there is no folder to choose.
    ///
    /// # Errors
    /// As there.
    pub fn save_state(&mut self) -> Result<()> {
        self.ctx.save_state(&self.registry)
    }

    /// Restores everything that was prepared and registered from the run's latest checkpoint; false in a new run, which has none.
    /// Everything is prepared and registered before.
    ///
    /// # Errors
    /// Those of [`Context::checkpoint`] and [`Checkpoint::restore`].
    pub fn load_state(&mut self) -> Result<bool> {
        let Some(checkpoint) = self.ctx.checkpoint()? else { return Ok(false) };
        checkpoint.restore(&mut self.registry)?;
        Ok(true)
    }

    /// [`load_state`](Self::load_state) of a checkpoint of any run, by its folder.
    ///
    /// # Errors
    /// Those of [`Checkpoint::from_directory`] and [`Checkpoint::restore`].
    pub fn load_state_from(&mut self, directory: impl AsRef<Path>) -> Result<()> {
        let checkpoint = Checkpoint::from_directory(directory)?.seen_by(self.ctx.beside());
        checkpoint.restore(&mut self.registry)
    }

    /// [`Context::step`] with everything that was prepared and registered, at the end of a batch: here a run that is told to stop
    /// saves itself, and checkpoints every so many steps are made. Accelerate has no such thing; without it, a signal ends the run
    /// where it is.
    ///
    /// # Errors
    /// As there.
    pub fn step(&mut self) -> Result<()> {
        self.ctx.step(&self.registry)
    }

    /// The net and its variables. The model's other handles are dropped before; the accelerator lets go of its own.
    ///
    /// # Errors
    /// [`Error::Config`] where another handle of it lives.
    pub fn unwrap_model<N>(&mut self, model: Rc<Model<N>>) -> Result<(VarStore, N)> {
        self.registry.forget(Rc::as_ptr(&model).addr());
        Rc::try_unwrap(model).map(Model::into_parts).map_err(|model| {
            Error::config(format!(
                "the model cannot be unwrapped: {} other handles of it live; drop them first",
                Rc::strong_count(&model) - 1
            ))
        })
    }

    /// Drops these objects, and lets go of everything that was prepared and registered: what comes then is prepared anew.
    pub fn free_memory<T>(&mut self, objects: T) {
        drop(objects);
        self.registry.clear();
        self.calls.set(0);
        if let Some(scaler) = &self.scaler {
            self.registry.add("scaler", Rc::clone(scaler));
        }
    }

    /// How many batches make one step.
    #[must_use]
    pub fn gradient_accumulation_steps(&self) -> usize {
        self.options.accumulation
    }

    /// What forward passes compute in.
    #[must_use]
    pub fn mixed_precision(&self) -> MixedPrecision {
        self.options.precision
    }
}

impl<M: Metrics> Accelerator<'_, M> {
    /// [`save_state`](Self::save_state), with a report: [`Context::report_with`]. So can checkpoints be ranked by a score.
    ///
    /// # Errors
    /// As there.
    pub fn save_state_with(&mut self, metrics: M) -> Result<()> {
        self.ctx.report_with(metrics, &self.registry)
    }
}

impl<M> std::fmt::Debug for Accelerator<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accelerator")
            .field("options", &self.options)
            .field("parts", &self.registry.names().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
