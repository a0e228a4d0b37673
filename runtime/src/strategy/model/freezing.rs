//! Parameters that are not trained for a while, or at all.

use std::collections::BTreeSet;

use tch::Tensor;

use super::Model;
use crate::c10d::aten;
use crate::error::{Error, Result};
use crate::optim::named_trainable;
use crate::pattern::Pattern;
use crate::strategy::Outputs;
use crate::worker::activity::{self, Collective};

/// Parameters that are trained again when it is dropped, however the pass ends.
struct Thawed(Vec<Tensor>);

impl Thawed {
    fn after_freezing(parameters: Vec<(String, Tensor)>) -> Result<Self> {
        let mut thawed = Self(Vec::new());
        for (_, parameter) in parameters.into_iter().filter(|(_, parameter)| parameter.requires_grad()) {
            let _same = parameter.f_set_requires_grad(false)?;
            thawed.0.push(parameter);
        }
        Ok(thawed)
    }
}

impl Drop for Thawed {
    fn drop(&mut self) {
        for parameter in &self.0 {
            // A setter, which fails on whole numbers alone.
            drop(parameter.f_set_requires_grad(true));
        }
    }
}

impl<N> Model<N> {
    /// Freezes the parameters whose names the pattern matches: they get no gradient, so that optimizers pass them over and
    /// the ranks send nothing for them. `*` is any text, dots included: `encoder.*`, `*.bias`, or `*` for all. They stay in
    /// the model, its checkpoints and its optimizers' groups. What is frozen is a part of the state: a restore freezes and
    /// unfreezes as it was saved.
    ///
    /// Buffers are no parameters: a batch norm in training mode goes on with its running values, as in PyTorch.
    ///
    /// Collective: with several workers every rank calls it, outside a window of accumulation. Gradients are cleared, and
    /// every rank gets rank 0's buffers, as it does before each training step.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # struct Net;
    /// # impl Net { fn new(_: &tch::nn::Path<'_>) -> Self { Self } }
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// let mut model = ctx.prepare_model(Net::new)?;
    /// model.freeze("encoder.*")?;
    /// let optimizer = AdamW::builder(1e-3).build(&model)?;
    /// // … some epochs of the head alone …
    /// model.unfreeze("encoder.layer4.*")?; // the optimizer knows them, and begins their state now
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] where the pattern matches no parameter, with the nearest names, or inside a window of accumulation;
    /// where the ranks freeze different ones; the errors of a broadcast.
    pub fn freeze(&mut self, pattern: &str) -> Result<()> {
        self.change(&Pattern::new(pattern), true)
    }

    /// Trains the parameters whose names the pattern matches again; see [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// As [`freeze`](Self::freeze).
    pub fn unfreeze(&mut self, pattern: &str) -> Result<()> {
        self.change(&Pattern::new(pattern), false)
    }

    /// The names of the frozen parameters, in the order of their creation.
    #[must_use]
    pub fn frozen(&self) -> Vec<String> {
        let parameters = named_trainable(&self.vars).into_iter();
        parameters.filter(|(_, parameter)| !parameter.requires_grad()).map(|(name, _)| name).collect()
    }

    /// The same, where the program has ever said so: only then it is a part of the state.
    pub(crate) fn frozen_by_choice(&self) -> Option<Vec<String>> {
        self.freezes.then(|| self.frozen())
    }

    /// A forward pass through which gradients go to the inputs, and not into this model's parameters, as of a discriminator
    /// in the generator's step, or of a fixed net that a loss is measured with. The ranks send nothing for it. What
    /// [`call`](Self::call) does for the strategy is left out, so that it may come between passes of that kind.
    ///
    /// ```no_run
    /// # use tch::Tensor;
    /// # use trainloop::prelude::*;
    /// # struct Net;
    /// # impl Net { fn forward(&self, _: &Tensor) -> Tensor { Tensor::new() } }
    /// # fn entropy(_: &Tensor, _: f64) -> Tensor { Tensor::new() }
    /// fn step(
    ///     generator: &Model<Net>, of_generator: &mut Adam, discriminator: &Model<Net>, of_discriminator: &mut Adam,
    ///     real: &Tensor, noise: &Tensor,
    /// ) -> Result<()> {
    ///     let made = generator.call(|net| net.forward(noise))?;
    ///     let right = discriminator.call(|net| net.forward(real))?;
    ///     let wrong = discriminator.call(|net| net.forward(&made.detach()))?;
    ///     of_discriminator.backward_step(&(entropy(&right, 1.0) + entropy(&wrong, 0.0)))?;
    ///     let judged = discriminator.call_frozen(|net| net.forward(&made))?;
    ///     of_generator.backward_step(&entropy(&judged, 1.0))
    /// }
    /// ```
    ///
    /// # Errors
    /// The closure's own.
    pub fn call_frozen<O: Outputs>(&self, forward: impl FnOnce(&N) -> O) -> Result<O::Value> {
        // The graph is made in the forward pass: what needs no gradient then gets none later.
        let _thawed = Thawed::after_freezing(named_trainable(&self.vars))?;
        forward(&self.net).into_value()
    }

    fn change(&mut self, pattern: &Pattern, is_frozen: bool) -> Result<()> {
        if self.in_window.get() {
            return Err(Error::config(format!(
                "`{pattern}` cannot be frozen or trained again inside a window of accumulation, whose gradients would be \
                 lost; do it where `batch.begins_window()`, or between epochs"
            )));
        }
        let parameters = named_trainable(&self.vars);
        if !parameters.iter().any(|(name, _)| pattern.matches(name)) {
            let names = parameters.iter().map(|(name, _)| name.as_str());
            return Err(Error::config(pattern.matches_none("the model's parameters", names)));
        }
        let frozen = parameters
            .into_iter()
            .filter(|(name, parameter)| if pattern.matches(name) { is_frozen } else { !parameter.requires_grad() });
        let frozen = frozen.map(|(name, _)| name).collect();
        self.set_frozen(&frozen)
    }

    /// Freezes these parameters and no other.
    pub(crate) fn set_frozen(&mut self, frozen: &BTreeSet<String>) -> Result<()> {
        self.freezes = true;
        if self.frozen().into_iter().collect::<BTreeSet<_>>() == *frozen {
            return Ok(());
        }
        let parameters = named_trainable(&self.vars);
        for (name, parameter) in &parameters {
            aten::clear_grad(parameter)?;
            let _same = parameter.f_set_requires_grad(!frozen.contains(name))?;
        }
        // The old one's hooks come off before the new one's are set: it waits for what it was made with.
        self.ddp = None;
        let trained: Vec<(String, Tensor)> =
            parameters.into_iter().filter(|(_, parameter)| parameter.requires_grad()).collect();
        // With nothing to train there is nothing to average.
        if let Some(group) = self.group.clone().filter(|_| !trained.is_empty()) {
            let spread = || self.spread(&group, &trained);
            self.ddp = Some(activity::within(Collective::PrepareModel, spread)?);
        }
        Ok(())
    }
}
