//! From one rank to all: the same tensor, or each its own.

use tch::Tensor;

use super::ProcessGroup;
use super::call::{Call, layout};
use super::elements;
use crate::error::Result;
use crate::tensors;
use crate::work::Work;

impl ProcessGroup {
    /// Replaces `tensor`, on every rank, by `root`'s. All have the same shape and dtype.
    ///
    /// # Errors
    /// Those of [every collective](Self); [`Error::Argument`](crate::Error::Argument) where `root` is not in the group.
    pub fn broadcast(&self, tensor: &mut Tensor, root: usize) -> Result<()> {
        let call = self.call("broadcast");
        let elements = elements::dense(tensor, &call)?;
        let _ = self.start_broadcast(call, elements.shallow_clone(), root)?.wait()?;
        elements::write_back(tensor, &elements, &call)
    }

    /// [`broadcast`](Self::broadcast) in the background.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast), now or out of the wait.
    pub fn broadcast_async(&self, tensor: Tensor, root: usize) -> Result<Work<Tensor>> {
        let call = self.call("broadcast");
        self.start_broadcast(call, elements::owned(tensor, &call)?, root)
    }

    fn start_broadcast(&self, call: Call, elements: Tensor, root: usize) -> Result<Work<Tensor>> {
        call.rank_in_group("root", root)?;
        self.compare(&call, || format!("{} from root {root}", layout(&elements)))?;
        self.begin_broadcast(call, elements, root)
    }

    pub(super) fn begin_broadcast(&self, call: Call, elements: Tensor, root: usize) -> Result<Work<Tensor>> {
        let begun = self.inner.broadcast(tensors::borrow(&elements::flat(&elements, &call)?), root as i32);
        Work::new(call, begun, move || Ok(elements))
    }

    /// Replaces `output` by what `root` has for this rank: `root` gives a tensor for each rank, the others `None`. All have
    /// the shape and dtype of `output`.
    ///
    /// # Errors
    /// Those of [every collective](Self); [`Error::Argument`](crate::Error::Argument) where `root` is not in the group or has
    /// no list, another rank has one, or the list's length or its tensors do not fit.
    pub fn scatter(&self, output: &mut Tensor, inputs: Option<&[Tensor]>, root: usize) -> Result<()> {
        let call = self.call("scatter");
        let elements = elements::dense(output, &call)?;
        let _ = self.start_scatter(call, elements.shallow_clone(), inputs, root)?.wait()?;
        elements::write_back(output, &elements, &call)
    }

    /// [`scatter`](Self::scatter) in the background, of a copy of the inputs.
    ///
    /// # Errors
    /// As [`scatter`](Self::scatter), now or out of the wait.
    pub fn scatter_async(&self, output: Tensor, inputs: Option<&[Tensor]>, root: usize) -> Result<Work<Tensor>> {
        let call = self.call("scatter");
        self.start_scatter(call, elements::owned(output, &call)?, inputs, root)
    }

    fn start_scatter(
        &self,
        call: Call,
        output: Tensor,
        inputs: Option<&[Tensor]>,
        root: usize,
    ) -> Result<Work<Tensor>> {
        call.rank_in_group("root", root)?;
        let input = match inputs {
            Some(inputs) if self.rank == root => {
                call.one_for_each_rank("tensors", inputs.len())?;
                call.alike(std::iter::once(&output).chain(inputs), true)?;
                let rows = inputs.iter().map(|input| elements::dense(input, &call)).collect::<Result<Vec<_>>>()?;
                Some(call.torch(Tensor::f_stack(&rows, 0))?)
            }
            None if self.rank != root => None,
            Some(_) => return call.refuse(format!("rank {} has a list, and is not root {root}; give None", self.rank)),
            None => return call.refuse(format!("root {root} has no list; give a tensor for each rank")),
        };
        self.compare(&call, || format!("{} from root {root}", layout(&output)))?;
        self.begin_scatter(call, output, input.as_ref(), root)
    }

    /// `input` has a row for each rank.
    pub(super) fn begin_scatter(
        &self,
        call: Call,
        output: Tensor,
        input: Option<&Tensor>,
        root: usize,
    ) -> Result<Work<Tensor>> {
        let rows = input.map(|input| elements::rows(input, self.world_size, &call)).transpose()?;
        let flat = elements::flat(&output, &call)?;
        let begun = self.inner.scatter(tensors::borrow(&flat), &tensors::list(&rows), root as i32);
        Work::new(call, begun, move || Ok(output))
    }
}
