//! What an optimizer trains: named parameters, and where they come from.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::PoisonError;

use tch::Tensor;
use tch::nn::VarStore;

use super::loss_weight::LossWeight;
use crate::c10d::{ProcessGroup, aten};

/// Whatever has parameters to train: a [`Model`](crate::strategy::Model), a [`VarStore`], or a list of named tensors.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no parameters that an optimizer could train",
    label = "give a model from `ctx.prepare_model`, a `tch::nn::VarStore`, or a list of `(String, Tensor)`"
)]
pub trait Parameters {
    /// The parameters with their names, in the order of their creation: the same on every rank and in every run.
    fn named_parameters(&self) -> Vec<(String, Tensor)>;

    /// What the loss is multiplied by before a backward pass; 1 unless a strategy says otherwise.
    fn loss_weight(&self) -> LossWeight {
        LossWeight::default()
    }

    /// The ranks that step together with this one, each with its replica; none unless a strategy says otherwise.
    fn process_group(&self) -> Option<Rc<ProcessGroup>> {
        None
    }
}

impl Parameters for VarStore {
    fn named_parameters(&self) -> Vec<(String, Tensor)> {
        named_trainable(self)
    }
}

impl Parameters for [(String, Tensor)] {
    fn named_parameters(&self) -> Vec<(String, Tensor)> {
        self.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }
}

impl Parameters for Vec<(String, Tensor)> {
    fn named_parameters(&self) -> Vec<(String, Tensor)> {
        self.as_slice().named_parameters()
    }
}

/// The trainable variables with their names, in the order of their creation. A frozen one is still among them.
pub(crate) fn named_trainable(store: &VarStore) -> Vec<(String, Tensor)> {
    // Nothing of ours panics while it holds this lock; a user's panic leaves the variables as they are.
    let variables = store.variables_.lock().unwrap_or_else(PoisonError::into_inner);
    let sorted: BTreeMap<_, _> = variables.named_variables.iter().collect();
    let mut names = ByIdentity::default();
    for (name, tensor) in sorted {
        names.insert(tensor, name);
    }
    let trainable = variables.trainable_variables.iter().enumerate();
    trainable
        .map(|(index, variable)| {
            // Only a hand that reached into the store can have taken the name away.
            let name = names.get(&variable.tensor).map_or_else(|| format!("unnamed.{index}"), |&name| name.clone());
            (name, variable.tensor.shallow_clone())
        })
        .collect()
}

/// The variables that are not trainable, such as the running means of batch norms, sorted by name.
pub(crate) fn buffers(store: &VarStore) -> Vec<(String, Tensor)> {
    let variables = store.variables_.lock().unwrap_or_else(PoisonError::into_inner);
    let mut trainable = ByIdentity::default();
    for variable in &variables.trainable_variables {
        trainable.insert(&variable.tensor, ());
    }
    let named: BTreeMap<_, _> = variables.named_variables.iter().collect();
    let buffers = named.into_iter().filter(|(_, tensor)| trainable.get(tensor).is_none());
    buffers.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}

/// Values found by a tensor's identity. Two tensors may share an address (views, and empty tensors, at 0), so the
/// address only narrows the search.
pub(super) struct ByIdentity<'a, T>(HashMap<usize, Vec<(&'a Tensor, T)>>);

impl<T> Default for ByIdentity<'_, T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<'a, T> ByIdentity<'a, T> {
    /// Keeps the first value given for a tensor.
    pub(super) fn insert(&mut self, tensor: &'a Tensor, value: T) {
        self.0.entry(tensor.data_ptr().addr()).or_default().push((tensor, value));
    }

    pub(super) fn get(&self, tensor: &Tensor) -> Option<&T> {
        let candidates = self.0.get(&tensor.data_ptr().addr())?;
        candidates.iter().find(|(other, _)| aten::is_same(other, tensor)).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use tch::nn::{self, Module};

    use super::*;

    #[test]
    fn names_come_in_creation_order_and_buffers_sorted() {
        let store = VarStore::new(Device::Cpu);
        let root = store.root();
        let last = nn::linear(&root / "z", 3, 2, nn::LinearConfig::default());
        let _empty = root.zeros("empty", &[0]);
        let _norm = nn::batch_norm1d(&root / "a", 2, nn::BatchNormConfig::default());
        let names: Vec<_> = named_trainable(&store).into_iter().map(|(name, _)| name).collect();
        // tch makes a linear layer's bias before its weight; a batch norm's running values are no parameters.
        let mut expected = vec!["z.bias", "z.weight", "empty", "a.weight", "a.bias"];
        let trainable = store.trainable_variables();
        assert_eq!(names.len(), trainable.len());
        for (name, tensor) in named_trainable(&store) {
            assert!(aten::is_same(&tensor, &store.variables()[&name]));
        }
        assert_eq!(names[..3], expected[..3]);
        let mut sorted = names.clone();
        sorted.sort();
        expected.sort_unstable();
        assert_eq!(sorted, expected);
        let names: Vec<_> = buffers(&store).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.running_mean", "a.running_var"]);
        assert_eq!(last.forward(&Tensor::zeros([1, 3], tch::kind::FLOAT_CPU)).size(), [1, 2]);
    }

    #[test]
    fn views_at_one_address_are_told_apart() {
        let whole = Tensor::zeros([4], tch::kind::FLOAT_CPU);
        let head = whole.narrow(0, 0, 2);
        let mut names = ByIdentity::default();
        names.insert(&whole, "whole");
        assert_eq!(names.get(&whole.shallow_clone()), Some(&"whole"));
        assert_eq!(names.get(&head), None);
    }
}
