//! Saving and loading all that an optimizer knows.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Tensor;

use super::group::{Group, Parameter, copy_like};
use super::optimizer::Optimizer;
use super::rule::{Options, Rule, Slot, at_least_zero};
use crate::error::{Error, Result};

/// All that an optimizer knows beyond the parameters themselves; from [`Optimizer::state`].
#[derive(Debug)]
pub struct OptimizerState {
    /// Which optimizer: its name here, such as `AdamW`.
    pub kind: String,
    /// The groups, in the optimizer's order.
    pub groups: Vec<GroupState>,
    /// The tensors kept for each parameter, named `parameter/slot` with PyTorch's names for slots: `momentum_buffer`;
    /// `step`, `exp_avg`, `exp_avg_sq`, `max_exp_avg_sq`; `square_avg`, `grad_avg`; `sum`. A parameter that has had no
    /// gradient has none.
    pub tensors: Vec<(String, Tensor)>,
}

/// A group in an [`OptimizerState`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupState {
    /// The group's name.
    pub name: String,
    /// Its options, by PyTorch's names: an object such as `{"lr": 0.1, "momentum": 0.9, …}`.
    pub hyperparameters: Value,
    /// The learning rate that it was built with, which a schedule scales.
    pub initial_lr: f64,
    /// The names of its parameters, in the order of their creation.
    pub parameters: Vec<String>,
}

impl<R: Rule> Optimizer<R> {
    /// A snapshot: the tensors are copies, on their own devices, so that training on does not change it.
    ///
    /// ```no_run
    /// # fn main() -> trainloop::Result<()> {
    /// # let vars = tch::nn::VarStore::new(tch::Device::Cpu);
    /// # let optimizer = trainloop::optim::AdamW::builder(0.1).build(&vars)?;
    /// use trainloop::optim::AdamW;
    ///
    /// let state = optimizer.state()?;
    /// let mut again = AdamW::builder(0.1).build(&vars)?;
    /// again.load_state(&state)?; // steps from here as `optimizer` does
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// libtorch's, where there is no memory for the copies.
    pub fn state(&self) -> Result<OptimizerState> {
        self.state_with(|tensor| copy_like(tensor, tensor))
    }

    /// The same with handles of the tensors, which the next step changes.
    pub(crate) fn state_in_place(&self) -> Result<OptimizerState> {
        self.state_with(|tensor| Ok(tensor.shallow_clone()))
    }

    fn state_with(&self, give: impl Fn(&Tensor) -> Result<Tensor>) -> Result<OptimizerState> {
        let mut groups = Vec::new();
        let mut tensors = Vec::new();
        for group in &self.groups {
            let hyperparameters = serde_json::to_value(&group.options)
                .map_err(|error| group.error(&format!("the options cannot be written: {error}")))?;
            groups.push(GroupState {
                name: group.name.clone(),
                hyperparameters,
                initial_lr: group.initial_lr,
                parameters: group.parameter_names().map(str::to_owned).collect(),
            });
            for parameter in &group.parameters {
                for (slot, tensor) in R::slots(&group.options).iter().zip(&parameter.slots) {
                    tensors.push((format!("{}/{}", parameter.name, slot.name()), give(tensor)?));
                }
            }
        }
        Ok(OptimizerState { kind: R::NAME.to_owned(), groups, tensors })
    }

    /// Takes over a state: hyperparameters, learning rates and tensors, whose values are copied bit for bit. The optimizer
    /// must have the same groups of parameters; the values that its builder was given are replaced, as in PyTorch.
    ///
    /// # Errors
    /// [`Error::Optimizer`], and nothing is changed, where the state is of another kind of optimizer, its groups or
    /// parameters are not this optimizer's, a value is out of range, or a tensor is missing, superfluous, or of another
    /// shape or dtype.
    pub fn load_state(&mut self, state: &OptimizerState) -> Result<()> {
        if state.kind != R::NAME {
            return Err(refusal::<R>(&format!("it is one of {}; build that optimizer to load it", state.kind)));
        }
        let options = self.options_in(state)?;
        let slots = self.slots_in(state, &options)?;
        for (((group, options), slots), saved) in self.groups.iter_mut().zip(options).zip(slots).zip(&state.groups) {
            group.options = options;
            group.initial_lr = saved.initial_lr;
            for (parameter, slots) in group.parameters.iter_mut().zip(slots) {
                parameter.slots = slots;
            }
        }
        Ok(())
    }

    /// The options of each group, where the state's groups are these.
    fn options_in(&self, state: &OptimizerState) -> Result<Vec<R::Options>> {
        let own: Vec<_> = self.groups.iter().map(Group::name).collect();
        let saved: Vec<_> = state.groups.iter().map(|group| group.name.as_str()).collect();
        if own != saved {
            return Err(refusal::<R>(&format!(
                "its groups are {}, and the optimizer's {}; build it with the same groups in the same order",
                saved.join(", "),
                own.join(", ")
            )));
        }
        let pairs = self.groups.iter().zip(&state.groups);
        pairs.map(|(group, saved)| options_of(group, saved)).collect()
    }

    /// The slots of each parameter of each group, copied.
    fn slots_in(&self, state: &OptimizerState, options: &[R::Options]) -> Result<Vec<Vec<Vec<Tensor>>>> {
        let mut saved = HashMap::new();
        for (name, tensor) in &state.tensors {
            if saved.insert(name.as_str(), tensor).is_some() {
                return Err(refusal::<R>(&format!("it has two tensors named `{name}`")));
            }
        }
        let mut groups = Vec::new();
        for (group, options) in self.groups.iter().zip(options) {
            let expected = R::slots(options);
            let slots = |parameter: &Parameter| {
                take_slots(&mut saved, expected, &parameter.name, &parameter.tensor)
                    .map_err(|reason| refusal::<R>(&reason))?
                    .into_iter()
                    .map(|(slot, tensor)| slot.copy_from(tensor, &parameter.tensor))
                    .collect()
            };
            groups.push(group.parameters.iter().map(slots).collect::<Result<_>>()?);
        }
        if let Some(name) = saved.keys().min() {
            return Err(refusal::<R>(&format!(
                "its tensor `{name}` belongs to no parameter, or to none with such options"
            )));
        }
        Ok(groups)
    }
}

fn refusal<R: Rule>(reason: &str) -> Error {
    Error::optimizer(format!("this optimizer state cannot be loaded into {}: {reason}", R::NAME))
}

fn options_of<R: Rule>(group: &Group<R>, saved: &GroupState) -> Result<R::Options> {
    let error = |reason: String| refusal::<R>(&format!("group `{}`: {reason}", group.name));
    let own: HashSet<_> = group.parameter_names().collect();
    let theirs: HashSet<_> = saved.parameters.iter().map(String::as_str).collect();
    if let Some(name) = theirs.difference(&own).min() {
        return Err(error(format!("the model has no parameter `{name}` there")));
    }
    if let Some(name) = own.difference(&theirs).min() {
        return Err(error(format!("it knows no parameter `{name}` there")));
    }
    let options: R::Options = R::Options::deserialize(&saved.hyperparameters)
        .map_err(|reason| error(format!("its hyperparameters cannot be read: {reason}")))?;
    options.check().map_err(error)?;
    at_least_zero("initial_lr", saved.initial_lr).map_err(error)?;
    Ok(options)
}

/// Takes one parameter's tensors out of those saved: all that the rule keeps, or none.
fn take_slots<'a>(
    saved: &mut HashMap<&str, &'a Tensor>,
    expected: &[Slot],
    name: &str,
    parameter: &Tensor,
) -> Result<Vec<(Slot, &'a Tensor)>, String> {
    let mut taken = Vec::new();
    let mut missing = None;
    for &slot in expected {
        let key = format!("{name}/{}", slot.name());
        let Some(tensor) = saved.remove(key.as_str()) else {
            missing.get_or_insert(key);
            continue;
        };
        let (size, kind) = slot.layout(parameter);
        if !tensor.defined() || tensor.size() != size || tensor.kind() != kind {
            let found =
                if tensor.defined() { format!("{:?} {:?}", tensor.kind(), tensor.size()) } else { "undefined".into() };
            return Err(format!("its tensor `{key}` is {found}; the model needs {kind:?} {size:?}"));
        }
        taken.push((slot, tensor));
    }
    match missing {
        Some(key) if !taken.is_empty() => Err(format!("its tensor `{key}` is missing")),
        _ => Ok(taken),
    }
}

impl Slot {
    /// A copy in the place and layout that the kernel needs.
    fn copy_from(self, saved: &Tensor, parameter: &Tensor) -> Result<Tensor> {
        let mut copy = self.zeros(parameter)?;
        tch::no_grad(|| copy.f_copy_(saved))?;
        Ok(copy)
    }
}
