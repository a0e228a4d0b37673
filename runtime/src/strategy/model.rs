//! A net with its parameters, prepared for the run's strategy.

mod freezing;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tch::nn::{Path, VarStore};
use tch::{Device, Kind, Tensor};

use super::outputs::Outputs;
use crate::c10d::{DdpOptions, DistributedDataParallel, JoinOptions, ProcessGroup, aten};
use crate::error::Result;
use crate::optim::{LossWeight, Parameters, buffers, named_trainable};
use crate::weights::is_float;
use crate::worker::Phase;
use crate::worker::activity::{self, Collective};

/// A net `N` with its parameters, made by [`Context::prepare_model`](crate::worker::Context::prepare_model).
///
/// [`call`](Self::call) is the only door to a forward pass, so that the strategy can work around it.
pub struct Model<N> {
    // Before the parameters: its hooks come off first.
    ddp: Option<DistributedDataParallel>,
    net: N,
    vars: VarStore,
    weight: LossWeight,
    autocast: Option<Kind>,
    group: Option<Rc<ProcessGroup>>,
    options: DdpOptions,
    /// Something was frozen or made trainable again, so that the state says what is frozen.
    freezes: bool,
    /// Gradients of the last pass stay on this rank, and are part of the state until the window's end.
    in_window: Cell<bool>,
    /// Inside its own [`join`](Self::join).
    joining: Cell<bool>,
}

/// How a model is prepared; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelOptions {
    kind: Kind,
    autocast: Option<Kind>,
    ddp: DdpOptions,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self { kind: Kind::Float, autocast: None, ddp: DdpOptions::default() }
    }
}

impl ModelOptions {
    /// The dtype of the parameters and of floating-point buffers; float32 unless said otherwise.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Forward passes run under [autocast](crate::c10d::aten::autocast): matrix products and convolutions compute in `Half` or
    /// `BFloat16`, and what comes out is turned into float32, so that the loss is computed in it. The parameters stay as they
    /// are. Off unless said otherwise.
    #[must_use]
    pub fn autocast(mut self, kind: Kind) -> Self {
        self.autocast = Some(kind);
        self
    }

    /// The size of gradient buckets and what else DDP can be told; without effect on a single worker.
    #[must_use]
    pub fn ddp(mut self, ddp: DdpOptions) -> Self {
        self.ddp = ddp;
        self
    }
}

impl<N> Model<N> {
    /// Builds the net on `device`; with a group, makes all ranks' parameters equal and averages their gradients.
    pub(crate) fn prepare(
        device: Device,
        group: Option<&Rc<ProcessGroup>>,
        weight: LossWeight,
        options: ModelOptions,
        build: impl FnOnce(&Path<'_>) -> N,
    ) -> Result<Self> {
        let model = Self::alone(device, build);
        set_kinds(&model.vars, |_| Some(options.kind));
        model.of_group(group, weight, options)
    }

    /// Of no run: for inference.
    pub(crate) fn alone(device: Device, build: impl FnOnce(&Path<'_>) -> N) -> Self {
        let vars = VarStore::new(device);
        let net = build(&vars.root());
        Self::of_net(vars, net)
    }

    fn of_net(vars: VarStore, net: N) -> Self {
        Self {
            ddp: None,
            net,
            vars,
            weight: LossWeight::default(),
            autocast: None,
            group: None,
            options: DdpOptions::default(),
            freezes: false,
            in_window: Cell::new(false),
            joining: Cell::new(false),
        }
    }

    /// The same as [`prepare`](Self::prepare) of a net that is built, whose variables keep their dtypes; they are moved to
    /// `device` where they lie elsewhere.
    pub(crate) fn prepare_built(
        device: Device,
        group: Option<&Rc<ProcessGroup>>,
        weight: LossWeight,
        options: ModelOptions,
        (mut vars, net): (VarStore, N),
    ) -> Result<Self> {
        if vars.device() != device {
            tch::no_grad(|| vars.set_device(device));
        }
        Self::of_net(vars, net).of_group(group, weight, options)
    }

    fn of_group(mut self, group: Option<&Rc<ProcessGroup>>, weight: LossWeight, options: ModelOptions) -> Result<Self> {
        self.weight = weight;
        self.options = options.ddp;
        self.autocast = options.autocast;
        if let Some(group) = group {
            self.ddp = Some(self.spread(group, &named_trainable(&self.vars))?);
            self.group = Some(Rc::clone(group));
        }
        Ok(self)
    }

    /// Makes the ranks' variables equal, and hooks on to the gradients of these parameters.
    fn spread(&self, group: &Rc<ProcessGroup>, trained: &[(String, Tensor)]) -> Result<DistributedDataParallel> {
        let buffers = buffers(&self.vars).into_iter().map(|(_, tensor)| tensor).collect();
        Ok(DistributedDataParallel::new(Rc::clone(group), trained, buffers, self.options)?)
    }

    /// Gives the floating-point variables of these names these dtypes.
    pub(crate) fn set_kinds(&self, layouts: &BTreeMap<String, (Vec<i64>, Kind)>) {
        set_kinds(&self.vars, |name| layouts.get(name).map(|(_, kind)| *kind));
    }

    /// One forward pass. What the closure returns implements [`Outputs`]; a `Result` in it is unwrapped.
    ///
    /// Inside `tch::no_grad` nothing is prepared for a backward pass, and ranks need not call it equally often.
    ///
    /// # Errors
    /// The closure's own; and, with several workers, a collective's, or that the pass before was never finished because a
    /// parameter had no part in the loss.
    pub fn call<O: Outputs>(&self, forward: impl FnOnce(&N) -> O) -> Result<O::Value> {
        let in_window = !self.weight.moment().ends_window;
        // An evaluation inside a window changes nothing about it.
        if aten::is_grad_enabled() {
            self.in_window.set(in_window);
        }
        let Some(ddp) = &self.ddp else {
            return self.weight.time(Phase::Forward, || self.forward(forward));
        };
        let pass = || {
            // Without gradients there is no collective, and ranks need not pass equally often.
            if aten::is_grad_enabled() {
                if !self.joining.get() {
                    self.weight.refuse_in_join(Collective::Forward)?;
                }
                let before = || activity::within(Collective::Forward, || ddp.before_forward());
                self.weight.time(Phase::Communication, before)?;
            } else {
                ddp.before_forward()?;
            }
            self.weight.time(Phase::Forward, || {
                let value = self.forward(forward)?;
                let mut tensors = Vec::new();
                O::collect(&value, &mut tensors);
                ddp.after_forward(tensors)?;
                Ok(value)
            })
        };
        // What the pass prepares decides whether its gradients are averaged; the backward pass may come later.
        if in_window { ddp.no_sync(pass) } else { pass() }
    }

    fn forward<O: Outputs>(&self, forward: impl FnOnce(&N) -> O) -> Result<O::Value> {
        match self.autocast {
            None => forward(&self.net).into_value(),
            Some(kind) => O::into_float(aten::autocast(self.device(), kind, || forward(&self.net))?.into_value()?),
        }
    }

    /// Runs passes whose gradients stay on this rank and add up; the first pass after it averages their sum over the ranks. The
    /// forward and the backward pass both belong inside, and every rank does so for the same passes. As PyTorch's
    /// `DistributedDataParallel.no_sync`. A loader that [accumulates](crate::data::DataLoaderBuilder::accumulate) has no need
    /// of it. On a single worker it only runs the closure.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn pass(_: &Model<tch::nn::Linear>, _: usize) -> Result<()> { Ok(()) }
    /// # fn train(model: &Model<tch::nn::Linear>, mut optimizer: Sgd) -> Result<()> {
    /// model.no_sync(|| pass(model, 0))?;
    /// pass(model, 1)?; // forward and `optimizer.backward`: both passes' gradients are averaged
    /// optimizer.step()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn no_sync<T>(&self, run: impl FnOnce() -> T) -> T {
        match &self.ddp {
            Some(ddp) => ddp.no_sync(run),
            None => run(),
        }
    }

    /// Runs a training loop over inputs of one's own, of which ranks have different numbers. A rank whose closure has ended
    /// stands in for its model's passes with zeros until the others have ended, too; then all get the parameters and buffers
    /// of the one that went on longest. Without it the others would wait for it in vain. As
    /// `torch.distributed.algorithms.Join` with DDP, and Accelerate's `join_uneven_inputs`. On a single worker it only runs the
    /// closure.
    ///
    /// A [prepared loader](crate::worker::Context::prepare_data_loader) has no need of it: it divides its samples exactly, and
    /// all ranks take the same number of steps.
    ///
    /// Every rank calls it, with the same options. Inside it the model's passes are the only collectives that have a stand-in,
    /// so the context's, a [`GradScaler`](crate::optim::GradScaler)'s and a second model's are refused. An optimizer's state
    /// stays that of the steps that each rank has made.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train(model: &Model<tch::nn::Linear>, optimizer: &mut Sgd, inputs: &[tch::Tensor]) -> Result<()> {
    /// use trainloop::c10d::JoinOptions;
    ///
    /// model.join(JoinOptions::default(), || {
    ///     for input in inputs {
    ///         let loss = model.call(|net| input.apply(net))?.mean(tch::Kind::Float);
    ///         optimizer.backward_step(&loss)?;
    ///     }
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The closure's, at once: the other ranks get an error when this one leaves the group. Inside another join, with a static
    /// graph, or, where the options say so, for an early end; the errors of collectives.
    pub fn join<T>(&self, options: JoinOptions, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(ddp) = &self.ddp else { return run() };
        ddp.join(options, || {
            self.joining.set(true);
            let result = self.weight.join(run);
            self.joining.set(false);
            result
        })
    }

    /// The gradients of a window of accumulation that has not ended, by their parameters' names; none elsewhere.
    pub(crate) fn window_gradients(&self) -> Vec<(String, Tensor)> {
        if !self.in_window.get() {
            return Vec::new();
        }
        let gradients = named_trainable(&self.vars).into_iter().map(|(name, parameter)| (name, parameter.grad()));
        gradients.filter(|(_, gradient)| gradient.defined()).collect()
    }

    /// Puts gradients of a window back.
    pub(crate) fn set_window_gradients(&self, gradients: &BTreeMap<String, Tensor>) -> Result<()> {
        self.in_window.set(!gradients.is_empty());
        for (name, parameter) in named_trainable(&self.vars) {
            aten::clear_grad(&parameter)?;
            if let Some(gradient) = gradients.get(&name) {
                // The derivative of their product's sum is the gradient itself, bit for bit.
                let gradient = gradient.f_to_device(parameter.device())?;
                tch::with_grad(|| parameter.f_mul(&gradient)?.f_sum(parameter.kind())?.f_backward())?;
            }
        }
        Ok(())
    }

    /// The net and its parameters, no longer a part of any strategy.
    #[must_use]
    pub fn into_parts(self) -> (VarStore, N) {
        (self.vars, self.net)
    }

    /// The parameters and buffers.
    #[must_use]
    pub fn vars(&self) -> &VarStore {
        &self.vars
    }

    /// True where other ranks have replicas.
    pub(crate) fn is_spread(&self) -> bool {
        self.group.is_some()
    }

    /// Where the parameters lie.
    #[must_use]
    pub fn device(&self) -> Device {
        self.vars.device()
    }
}

/// Turns floating-point variables into others, in place: every handle of theirs, the net's included, sees it.
fn set_kinds(vars: &VarStore, kind_of: impl Fn(&str) -> Option<Kind>) {
    let mut variables = vars.variables_.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (name, tensor) in &mut variables.named_variables {
        let Some(kind) = kind_of(name).filter(|kind| is_float(*kind)) else { continue };
        if tensor.is_floating_point() && tensor.kind() != kind {
            let converted = tch::no_grad(|| tensor.to_kind(kind));
            tensor.set_data(&converted);
        }
    }
}

impl<N> Parameters for Model<N> {
    fn named_parameters(&self) -> Vec<(String, Tensor)> {
        named_trainable(&self.vars)
    }

    fn loss_weight(&self) -> LossWeight {
        self.weight.clone()
    }

    fn process_group(&self) -> Option<Rc<ProcessGroup>> {
        self.group.clone()
    }
}

impl<N> std::fmt::Debug for Model<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("net", &std::any::type_name::<N>())
            .field("variables", &self.vars.len())
            .field("ddp", &self.ddp.is_some())
            .finish_non_exhaustive()
    }
}
