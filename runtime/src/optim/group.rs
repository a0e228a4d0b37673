//! Parameters that share their options.

use std::fmt;

use tch::Tensor;

use super::rule::{Batch, Options, Rule};
use crate::error::{Error, Result};
use crate::pattern::Pattern;

/// The name of the group of all parameters that no [`ParamGroup`] takes.
pub(super) const DEFAULT: &str = "default";

/// A choice of parameters, by name, with a learning rate or weight decay of their own. What is not set is the builder's.
///
/// A parameter goes to the first group that takes it.
///
/// ```no_run
/// # fn main() -> trainloop::Result<()> {
/// # let vars = tch::nn::VarStore::new(tch::Device::Cpu);
/// use trainloop::optim::{ParamGroup, Sgd};
///
/// let optimizer = Sgd::builder(0.1)
///     .group(ParamGroup::new("backbone", |name| name.starts_with("backbone.")).lr(0.01))
///     .build(&vars)?;
/// # Ok(())
/// # }
/// ```
pub struct ParamGroup {
    pub(super) name: String,
    choice: Choice,
    lr: Option<f64>,
    weight_decay: Option<f64>,
}

/// Which parameters.
enum Choice {
    By(Box<dyn Fn(&str) -> bool>),
    Matching(Pattern),
}

impl ParamGroup {
    /// The parameters for whose names `takes` is true. Names are the paths of tch, such as `block3.conv.weight`.
    #[must_use]
    pub fn new(name: impl Into<String>, takes: impl Fn(&str) -> bool + 'static) -> Self {
        Self { name: name.into(), choice: Choice::By(Box::new(takes)), lr: None, weight_decay: None }
    }

    /// The parameters whose names the pattern matches, which is the group's name, too. `*` is any text, dots included:
    /// `*.bias`, `encoder.*`.
    ///
    /// ```no_run
    /// # fn main() -> trainloop::Result<()> {
    /// # let vars = tch::nn::VarStore::new(tch::Device::Cpu);
    /// use trainloop::optim::{AdamW, ParamGroup};
    ///
    /// let optimizer = AdamW::builder(1e-3)
    ///     .group(ParamGroup::matching("*.bias").weight_decay(0.0))
    ///     .group(ParamGroup::matching("encoder.*").lr(1e-4))
    ///     .build(&vars)?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn matching(pattern: impl Into<String>) -> Self {
        let name = pattern.into();
        Self { choice: Choice::Matching(Pattern::new(&*name)), name, lr: None, weight_decay: None }
    }

    pub(super) fn takes(&self, name: &str) -> bool {
        match &self.choice {
            Choice::By(takes) => takes(name),
            Choice::Matching(pattern) => pattern.matches(name),
        }
    }

    /// Why it has no parameter, of these and after the groups before it.
    pub(super) fn takes_none(&self, names: &[&str]) -> Option<String> {
        match &self.choice {
            Choice::Matching(pattern) if !names.iter().any(|name| pattern.matches(name)) => {
                Some(pattern.matches_none("the parameters", names.iter().copied()))
            }
            _ => None,
        }
    }

    /// The group's learning rate.
    #[must_use]
    pub fn lr(mut self, lr: f64) -> Self {
        self.lr = Some(lr);
        self
    }

    /// The group's weight decay.
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = Some(weight_decay);
        self
    }

    /// The builder's options with what this group sets.
    pub(super) fn options<O: Options>(&self, mut options: O) -> O {
        if let Some(lr) = self.lr {
            options.set_lr(lr);
        }
        if let Some(weight_decay) = self.weight_decay {
            options.set_weight_decay(weight_decay);
        }
        options
    }
}

impl fmt::Debug for ParamGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParamGroup")
            .field("name", &self.name)
            .field("lr", &self.lr)
            .field("weight_decay", &self.weight_decay)
            .finish_non_exhaustive()
    }
}

/// A group of a built optimizer; see [`Optimizer::groups`](super::Optimizer::groups).
pub struct Group<R: Rule> {
    pub(super) name: String,
    pub(super) options: R::Options,
    pub(super) initial_lr: f64,
    pub(super) parameters: Vec<Parameter>,
}

/// One parameter and what the rule keeps for it, in the order of [`Rule::slots`]; nothing before its first gradient.
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) tensor: Tensor,
    pub(super) slots: Vec<Tensor>,
}

impl<R: Rule> Group<R> {
    /// Refuses values out of range.
    pub(super) fn new(name: &str, options: R::Options) -> Result<Self> {
        let group = Self { name: name.to_owned(), initial_lr: options.lr(), options, parameters: Vec::new() };
        group.options.check().map_err(|reason| group.error(&reason))?;
        Ok(group)
    }

    /// `default`, or the name of its [`ParamGroup`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The group's learning rate now.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        self.options.lr()
    }

    /// The learning rate that the group was built with, which a schedule scales.
    #[must_use]
    pub fn initial_learning_rate(&self) -> f64 {
        self.initial_lr
    }

    /// All numbers of the group.
    #[must_use]
    pub fn options(&self) -> &R::Options {
        &self.options
    }

    /// The names of the group's parameters, in the order of their creation.
    pub fn parameter_names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|parameter| parameter.name.as_str())
    }

    pub(super) fn error(&self, reason: &str) -> Error {
        Error::optimizer(format!("{}, group `{}`: {reason}", R::NAME, self.name))
    }

    /// Refuses a value out of range.
    pub(super) fn set_lr(&mut self, lr: f64) -> Result<()> {
        let mut options = self.options.clone();
        options.set_lr(lr);
        options.check().map_err(|reason| self.error(&reason))?;
        self.options = options;
        Ok(())
    }

    pub(super) fn step(&mut self) -> Result<()> {
        let slots = R::slots(&self.options);
        let mut batches = Vec::new();
        for (index, parameter) in self.parameters.iter().enumerate() {
            let Some(gradient) = parameter.gradient_for_kernel()? else { continue };
            // A rule without state has nothing to begin: then every step is a first one.
            let is_first_step = parameter.slots.is_empty();
            let state = if is_first_step {
                slots.iter().map(|slot| slot.zeros(&parameter.tensor)).collect::<Result<_>>()?
            } else {
                parameter.slots.iter().map(Tensor::shallow_clone).collect()
            };
            Batch::for_parameter(&mut batches, &parameter.tensor, is_first_step).push(
                index,
                &parameter.tensor,
                gradient,
                state,
            );
        }
        for batch in batches {
            R::update(&self.options, &batch)?;
            if batch.is_first_step {
                for (row, &index) in batch.indices.iter().enumerate() {
                    self.parameters[index].slots = batch.row(row);
                }
            }
        }
        Ok(())
    }
}

impl<R: Rule> fmt::Debug for Group<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .field("options", &self.options)
            .field("parameters", &self.parameter_names().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Parameter {
    pub(super) fn gradient(&self) -> Result<Option<Tensor>> {
        let gradient = self.tensor.f_grad()?;
        Ok(gradient.defined().then_some(gradient))
    }

    /// The gradient in the parameter's memory layout. The kernels walk all their tensors by address alone; PyTorch's own
    /// fused optimizers silently go wrong where a gradient is laid out otherwise.
    fn gradient_for_kernel(&self) -> Result<Option<Tensor>> {
        let Some(gradient) = self.gradient()? else { return Ok(None) };
        if gradient.is_sparse() {
            return Err(Error::optimizer(format!(
                "parameter `{}` has a sparse gradient, which no optimizer here takes; make its embedding with `sparse: false`",
                self.name
            )));
        }
        let contiguous = self.tensor.is_contiguous() && gradient.is_contiguous();
        if contiguous || self.tensor.stride() == gradient.stride() {
            return Ok(Some(gradient));
        }
        copy_like(&gradient, &self.tensor).map(Some)
    }
}

/// A copy of `values` with the device, dtype and memory layout of `like`.
pub(super) fn copy_like(values: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut copy = like.f_empty_like()?;
    tch::no_grad(|| copy.f_copy_(values))?;
    Ok(copy)
}
