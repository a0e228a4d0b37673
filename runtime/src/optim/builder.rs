//! From options and parameters to an optimizer.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use tch::Tensor;

use super::group::{DEFAULT, Group, ParamGroup, Parameter};
use super::optimizer::Optimizer;
use super::parameters::{ByIdentity, Parameters};
use super::rule::{Options, Rule};
use crate::error::{Error, Result};

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Sets up an optimizer; from [`Optimizer::builder`]. What is not set is PyTorch's default, or for [`Lion`](super::Lion) its
/// authors'.
#[must_use = "a builder does nothing before `build`"]
pub struct Builder<R: Rule> {
    pub(super) options: R::Options,
    groups: Vec<ParamGroup>,
}

impl<R: Rule> Builder<R> {
    pub(super) fn new(lr: f64) -> Self {
        Self { options: R::defaults(lr), groups: Vec::new() }
    }

    /// Weight decay; 0 unless said otherwise, but 0.01 for [`AdamW`](super::AdamW).
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.options.set_weight_decay(weight_decay);
        self
    }

    /// Climbs instead of descending; off unless said otherwise.
    pub fn maximize(mut self, maximize: bool) -> Self {
        self.options.set_maximize(maximize);
        self
    }

    /// Gives some parameters options of their own; the rest are the group `default`.
    pub fn group(mut self, group: ParamGroup) -> Self {
        self.groups.push(group);
        self
    }

    /// The optimizer of these parameters.
    ///
    /// # Errors
    /// [`Error::Optimizer`] where an option is out of range, by PyTorch's rules, or not finite; where there is no
    /// parameter; where two share a name or are one tensor; where one cannot be trained (not floating-point, or not a leaf)
    /// or has gaps in memory; where a group takes no parameter, or two groups share a name.
    pub fn build(self, parameters: &(impl Parameters + ?Sized)) -> Result<Optimizer<R>> {
        let Self { options, groups: choices } = self;
        let mut groups = vec![Group::new(DEFAULT, options.clone())?];
        for choice in &choices {
            if groups.iter().any(|group: &Group<R>| group.name == choice.name) {
                return Err(error::<R>(&format!(
                    "there are two groups named `{}` (`{DEFAULT}` is the one of all other parameters); rename one",
                    choice.name
                )));
            }
            groups.push(Group::new(&choice.name, choice.options(options.clone()))?);
        }
        let named = parameters.named_parameters();
        check_parameters(&named).map_err(|reason| error::<R>(&reason))?;
        for (name, tensor) in &named {
            let choice = choices.iter().position(|choice| choice.takes(name));
            let place = choice.map_or(0, |choice| choice + 1);
            let parameter = Parameter { name: name.clone(), tensor: tensor.shallow_clone(), slots: Vec::new() };
            groups[place].parameters.push(parameter);
        }
        // The default group may be empty: then every parameter was chosen.
        for (group, choice) in groups.iter().skip(1).zip(&choices) {
            if group.parameters.is_empty() {
                let all: Vec<_> = named.iter().map(|(name, _)| name.as_str()).collect();
                let reason = choice.takes_none(&all).unwrap_or_else(|| {
                    let reason = "it takes no parameter, or none that an earlier group has not taken";
                    format!("{reason}; the parameters are {}", list(&named))
                });
                return Err(group.error(&reason));
            }
        }
        Ok(Optimizer {
            groups,
            loss_weight: parameters.loss_weight(),
            group: parameters.process_group(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        })
    }
}

impl<R: Rule> std::fmt::Debug for Builder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("options", &self.options).field("groups", &self.groups).finish()
    }
}

fn error<R: Rule>(reason: &str) -> Error {
    Error::optimizer(format!("{}: {reason}", R::NAME))
}

/// The first thing that is wrong with the parameters.
fn check_parameters(named: &[(String, Tensor)]) -> Result<(), String> {
    if named.is_empty() {
        return Err("there are no parameters to train; create the model's variables before its optimizer".into());
    }
    let mut taken = HashSet::new();
    let mut seen = ByIdentity::default();
    for (name, tensor) in named {
        check_tensor(tensor).map_err(|reason| format!("parameter `{name}` {reason}"))?;
        if !taken.insert(name) {
            return Err(format!("two parameters are named `{name}`; rename one"));
        }
        if let Some(other) = seen.get(tensor) {
            return Err(format!("parameters `{other}` and `{name}` are one and the same tensor; give it once"));
        }
        seen.insert(tensor, name);
    }
    Ok(())
}

fn check_tensor(tensor: &Tensor) -> Result<(), String> {
    if !tensor.defined() {
        return Err("is undefined; give it a value first".into());
    }
    if tensor.is_sparse() {
        return Err("is sparse, which no optimizer here takes; make it dense".into());
    }
    if !tensor.is_floating_point() {
        return Err(format!("is of dtype {:?}; only floating-point tensors can be trained", tensor.kind()));
    }
    if !tensor.is_leaf() {
        return Err("is the result of an operation (not a leaf), so no gradient is kept for it; detach it, or give \
                    the tensor that it was made from"
            .into());
    }
    let same_strides = |like: Tensor| like.stride() == tensor.stride();
    if !tensor.is_contiguous() && !tensor.f_empty_like().is_ok_and(same_strides) {
        return Err("has gaps or overlaps in memory (a slice, or an expanded tensor); make it contiguous".into());
    }
    Ok(())
}

/// The first names, for a message.
fn list(named: &[(String, Tensor)]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<_> = named.iter().take(SHOWN).map(|(name, _)| format!("`{name}`")).collect();
    let more = named.len().saturating_sub(SHOWN);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
