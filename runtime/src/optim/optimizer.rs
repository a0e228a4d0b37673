//! The optimizer itself: what all rules share.

use std::fmt;
use std::rc::Rc;

use tch::Tensor;

use super::builder::Builder;
use super::clip::{self, NormType};
use super::group::{Group, Parameter};
use super::loss_weight::LossWeight;
use super::rule::{Options, Rule, at_least_zero};
use crate::c10d::{ProcessGroup, aten};
use crate::callback::Event;
use crate::error::{Error, Result};

/// An optimizer that steps by the rule `R`, on libtorch's fused kernels, or its operations over whole lists where it has no
/// fused one: one call for all parameters of a group.
///
/// Use it by its names, such as [`Sgd`](super::Sgd) and [`AdamW`](super::AdamW). Steps are those of PyTorch's optimizers
/// with `fused=True`, or `foreach=True`, bit for bit. Unlike tch's own optimizers, all of it can be
/// [saved](Self::state) and [loaded](Self::load_state).
///
/// A parameter without a gradient is skipped, and its state stays as it is.
pub struct Optimizer<R: Rule> {
    pub(super) groups: Vec<Group<R>>,
    pub(super) loss_weight: LossWeight,
    /// The ranks that step together with this one.
    pub(super) group: Option<Rc<ProcessGroup>>,
    /// Tells it from every other one of the process.
    pub(super) id: u64,
}

impl<R: Rule> Optimizer<R> {
    /// Begins an optimizer with this learning rate and PyTorch's defaults.
    pub fn builder(lr: f64) -> Builder<R> {
        Builder::new(lr)
    }

    /// Trains together with the other ranks from now on, by the loss's weight of their loaders.
    pub(crate) fn join_ranks(&mut self, loss_weight: LossWeight, group: Option<Rc<ProcessGroup>>) {
        (self.loss_weight, self.group) = (loss_weight, group);
    }

    /// Adds the loss's gradients to those of the parameters; the loss is a scalar. It is first multiplied by the
    /// [`LossWeight`] of the model, which is 1 unless a loader has handed out an uneven share.
    ///
    /// # Errors
    /// libtorch's, where the loss is not a scalar or has no graph; with several workers also a failed all-reduce; those
    /// of a callback.
    pub fn backward(&self, loss: &Tensor) -> Result<()> {
        self.loss_weight.backward(loss)
    }

    /// [`zero_grad`](Self::zero_grad), [`backward`](Self::backward), [`step`](Self::step). Where the loader
    /// [accumulates](crate::data::DataLoaderBuilder::accumulate), the first is done at a window's first batch alone, and the
    /// last at its last.
    ///
    /// # Errors
    /// Theirs.
    pub fn backward_step(&mut self, loss: &Tensor) -> Result<()> {
        let moment = self.loss_weight.moment();
        if moment.begins_window {
            self.zero_grad()?;
        }
        self.backward(loss)?;
        if moment.ends_window { self.step() } else { Ok(()) }
    }

    /// Frees all gradients, as PyTorch's `zero_grad(set_to_none=True)`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn zero_grad(&mut self) -> Result<()> {
        for parameter in self.parameters() {
            aten::clear_grad(&parameter.tensor)?;
        }
        Ok(())
    }

    /// Steps every parameter that has a gradient.
    ///
    /// # Errors
    /// [`Error::Optimizer`] where a gradient is sparse; libtorch's, where a gradient does not fit its parameter.
    pub fn step(&mut self) -> Result<()> {
        self.loss_weight.fire(Event::BeforeOptimizerStep)?;
        let Self { groups, loss_weight, .. } = self;
        loss_weight.step(|| groups.iter_mut().try_for_each(Group::step))
    }

    /// Scales all gradients, where their 2-norm, taken as one vector, is above `max_norm`, down to it; returns the norm
    /// before (a scalar tensor). It goes between [`backward`](Self::backward) and [`step`](Self::step). This is PyTorch's
    /// `clip_grad_norm_`, after Pascanu et al., "On the difficulty of training recurrent neural networks" (ICML 2013).
    ///
    /// The factor is `min(1, max_norm / (norm + 1e-6))`; a norm that is NaN makes all gradients NaN.
    ///
    /// ```no_run
    /// # fn main() -> trainloop::Result<()> {
    /// # let vars = tch::nn::VarStore::new(tch::Device::Cpu);
    /// # let loss = tch::Tensor::new();
    /// # let mut optimizer = trainloop::optim::Sgd::builder(0.1).build(&vars)?;
    /// optimizer.zero_grad()?;
    /// optimizer.backward(&loss)?;
    /// let norm = optimizer.clip_grad_norm(1.0)?;
    /// optimizer.step()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Optimizer`] where `max_norm` is negative or NaN; libtorch's.
    pub fn clip_grad_norm(&mut self, max_norm: f64) -> Result<Tensor> {
        self.clip_grad_norm_with(max_norm, NormType::L2)
    }

    /// [`clip_grad_norm`](Self::clip_grad_norm) by another norm.
    ///
    /// # Errors
    /// Also [`Error::Optimizer`] where the order of a [`NormType::P`] is not a finite number above 0.
    pub fn clip_grad_norm_with(&mut self, max_norm: f64, norm_type: NormType) -> Result<Tensor> {
        clip::by_norm(&self.gradients()?, max_norm, norm_type, false)
    }

    /// [`clip_grad_norm_with`](Self::clip_grad_norm_with), where a norm that is infinite or NaN is an error: PyTorch's
    /// `error_if_nonfinite=True`. On a GPU it waits for the norm.
    ///
    /// # Errors
    /// Also [`Error::Optimizer`] where the norm is not finite; the gradients are as they were then.
    pub fn clip_finite_grad_norm(&mut self, max_norm: f64, norm_type: NormType) -> Result<Tensor> {
        clip::by_norm(&self.gradients()?, max_norm, norm_type, true)
    }

    /// Takes each value of each gradient into `-max..=max`: PyTorch's `clip_grad_value_`. A value that is NaN stays so.
    ///
    /// ```no_run
    /// # fn main() -> trainloop::Result<()> {
    /// # let vars = tch::nn::VarStore::new(tch::Device::Cpu);
    /// # let loss = tch::Tensor::new();
    /// # let mut optimizer = trainloop::optim::Sgd::builder(0.1).build(&vars)?;
    /// optimizer.zero_grad()?;
    /// optimizer.backward(&loss)?;
    /// optimizer.clip_grad_value(0.5)?;
    /// optimizer.step()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Optimizer`] where `max` is negative or not finite; libtorch's.
    pub fn clip_grad_value(&mut self, max: f64) -> Result<()> {
        clip::by_value(&self.gradients()?, max)
    }

    /// The gradients of all parameters that have one.
    pub(super) fn gradients(&self) -> Result<Vec<Tensor>> {
        self.parameters().filter_map(|parameter| parameter.gradient().transpose()).collect()
    }

    /// The learning rate of the group `default`, which is the builder's until it is set.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        // The builder puts it there first.
        self.groups.first().map_or(f64::NAN, Group::learning_rate)
    }

    /// Gives all groups this learning rate. Their [initial](Group::initial_learning_rate) ones stay.
    ///
    /// # Errors
    /// [`Error::Optimizer`] where it is negative or not finite; nothing is changed then.
    pub fn set_learning_rate(&mut self, lr: f64) -> Result<()> {
        self.groups.iter_mut().try_for_each(|group| group.set_lr(lr))
    }

    /// Gives one group this learning rate.
    ///
    /// # Errors
    /// [`Error::Optimizer`] where there is no group of this name, or the rate is negative or not finite.
    pub fn set_group_learning_rate(&mut self, group: &str, lr: f64) -> Result<()> {
        if let Some(group) = self.groups.iter_mut().find(|own| own.name == group) {
            return group.set_lr(lr);
        }
        let names: Vec<_> = self.groups.iter().map(|group| format!("`{}`", group.name)).collect();
        Err(Error::optimizer(format!("{} has no group `{group}`; it has {}", R::NAME, names.join(", "))))
    }

    /// Gives each group its [initial](Group::initial_learning_rate) learning rate times `factor`, as a schedule does.
    ///
    /// # Errors
    /// [`Error::Optimizer`] where a rate would be negative or not finite.
    pub fn scale_learning_rates(&mut self, factor: f64) -> Result<()> {
        self.apply_schedule(|initial| initial * factor, None)
    }

    /// Gives each group the rate that `rate` makes of its initial one, and all groups this momentum; all of it or nothing.
    pub(crate) fn apply_schedule(&mut self, rate: impl Fn(f64) -> f64, momentum: Option<f64>) -> Result<()> {
        let mut changed = Vec::new();
        for group in &self.groups {
            let mut options = group.options.clone();
            options.set_lr(rate(group.initial_lr));
            if momentum.is_some_and(|momentum| !options.set_momentum(momentum)) {
                return Err(Error::config(format!(
                    "the schedule changes the momentum, and {} has none; build the schedule with `fixed_momentum`",
                    R::NAME
                )));
            }
            options.check().map_err(|reason| group.error(&reason))?;
            let has_state = group.parameters.iter().any(|parameter| !parameter.slots.is_empty());
            if has_state && R::slots(&options).len() != R::slots(&group.options).len() {
                return Err(group.error(
                    "the schedule changes the momentum, and the steps before it have kept none; build the optimizer with \
                     a momentum above 0",
                ));
            }
            changed.push(options);
        }
        for (group, options) in self.groups.iter_mut().zip(changed) {
            group.options = options;
        }
        Ok(())
    }

    /// Gives each group the rate that `rate` makes of its present one; all of it or nothing.
    pub(crate) fn map_learning_rates(&mut self, rate: impl Fn(f64) -> f64) -> Result<()> {
        let rates: Vec<f64> = self.groups.iter().map(|group| rate(group.learning_rate())).collect();
        for (group, &rate) in self.groups.iter().zip(&rates) {
            at_least_zero("lr", rate).map_err(|reason| group.error(&reason))?;
        }
        self.groups.iter_mut().zip(rates).try_for_each(|(group, rate)| group.set_lr(rate))
    }

    /// The groups: `default`, then those of the builder, in their order.
    #[must_use]
    pub fn groups(&self) -> &[Group<R>] {
        &self.groups
    }

    fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.groups.iter().flat_map(|group| &group.parameters)
    }
}

impl<R: Rule> fmt::Debug for Optimizer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(R::NAME).field("groups", &self.groups).finish_non_exhaustive()
    }
}
