//! Collectives that combine the ranks' values.

use tch::{Kind, Tensor};

use super::ProcessGroup;
use super::call::{Call, layout};
use super::elements::{self, KNOWN_KINDS};
use crate::bridge::ffi;
use crate::error::Result;
use crate::tensors;
use crate::work::Work;

/// How a collective combines the ranks' values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReduceOp {
    /// The sum.
    Sum,
    /// The mean: the sum, divided by the number of ranks. Floating-point tensors only.
    Mean,
    /// The product.
    Product,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The bits that are set on every rank. Whole numbers and `bool` only.
    BitAnd,
    /// The bits that are set on any rank. Whole numbers and `bool` only.
    BitOr,
    /// The bits that are set on an odd number of ranks. Whole numbers and `bool` only.
    BitXor,
}

impl ReduceOp {
    /// `c10d::ReduceOp::RedOpType`. The mean is a sum, divided afterwards, so that it is the same over every backend.
    fn code(self) -> u8 {
        match self {
            Self::Sum | Self::Mean => 0,
            Self::Product => 2,
            Self::Min => 3,
            Self::Max => 4,
            Self::BitAnd => 5,
            Self::BitOr => 6,
            Self::BitXor => 7,
        }
    }

    /// Refuses a tensor whose values cannot be combined so.
    fn check(self, tensor: &Tensor, call: &Call) -> Result<()> {
        let kind = tensor.kind();
        if !KNOWN_KINDS.contains(&kind) {
            return call.refuse(format!(
                "Gloo and NCCL cannot combine {kind:?} values; convert the tensor to one of {KNOWN_KINDS:?}"
            ));
        }
        match self {
            Self::Mean if !tensor.is_floating_point() => call.refuse(format!(
                "the mean of {kind:?} values is no whole number; use ReduceOp::Sum or a floating-point tensor"
            )),
            // A byte of 2 is no `bool`, and Rust may not be shown one.
            Self::Sum if kind == Kind::Bool => {
                call.refuse("the sum of Bool values is no Bool; use ReduceOp::BitOr, or convert the tensor to Int64")
            }
            Self::BitAnd | Self::BitOr | Self::BitXor if tensor.is_floating_point() => call.refuse(format!(
                "{self:?} combines the bits of whole numbers, and the tensor's values are {kind:?}; convert it to Int64"
            )),
            Self::BitAnd | Self::BitOr | Self::BitXor if call.backend.is_nccl_for(tensor) => {
                call.refuse(format!("NCCL has no {self:?}; give a tensor of the CPU, which Gloo carries"))
            }
            _ => Ok(()),
        }
    }

    /// What Gloo left in `elements`, made the result.
    fn finish(self, elements: &mut Tensor, call: &Call) -> Result<()> {
        if self == Self::Mean {
            let _ = call.torch(elements.f_div_scalar_(call.world_size as f64))?;
        }
        Ok(())
    }
}

impl ProcessGroup {
    /// Replaces `tensor`, on every rank, by the combination of all ranks' tensors. All have the same shape and dtype.
    ///
    /// # Errors
    /// Those of [every collective](Self); [`Error::Argument`](crate::Error::Argument) where `op` does not fit the dtype.
    pub fn all_reduce(&self, tensor: &mut Tensor, op: ReduceOp) -> Result<()> {
        let call = self.call("all_reduce");
        op.check(tensor, &call)?;
        let elements = elements::dense(tensor, &call)?;
        let _ = self.start_all_reduce(call, elements.shallow_clone(), op)?.wait()?;
        elements::write_back(tensor, &elements, &call)
    }

    /// The sum of all ranks' tensors as a new one, through which a backward pass goes on: each rank's gradient of its own
    /// tensor is the sum of all ranks' gradients of the sum. It is as if one process had added them up, and then taken the
    /// gradient of the sum of all ranks' losses. As `torch.distributed.nn.functional.all_reduce`.
    ///
    /// The backward pass is a collective, too: the loss of every rank must depend on what comes out.
    ///
    /// ```no_run
    /// # fn example(group: &trainloop_c10d::ProcessGroup, inputs: &tch::Tensor) -> trainloop_c10d::Result<()> {
    /// let sum = group.all_reduce_with_grad(&inputs.sum(None))?;
    /// sum.square().backward(); // with inputs that require a gradient
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [every collective](Self); [`Error::Argument`](crate::Error::Argument) where the values are not
    /// floating-point. Those of the backward pass are `Tensor::f_backward`'s.
    pub fn all_reduce_with_grad(&self, tensor: &Tensor) -> Result<Tensor> {
        let call = self.call("all_reduce_with_grad");
        if !tensor.is_floating_point() {
            return call.refuse(format!("{:?} values have no gradient; use `all_reduce`", tensor.kind()));
        }
        ReduceOp::Sum.check(tensor, &call)?;
        self.compare(&call, || format!("the sum of {}", layout(tensor)))?;
        call.result(ffi::all_reduce_with_grad(&self.inner, tensors::borrow(tensor))).map(tensors::own)
    }

    /// [`all_reduce`](Self::all_reduce) in the background; the result comes out of [`Work::wait`].
    ///
    /// # Errors
    /// As [`all_reduce`](Self::all_reduce), now or out of the wait.
    pub fn all_reduce_async(&self, tensor: Tensor, op: ReduceOp) -> Result<Work<Tensor>> {
        let call = self.call("all_reduce");
        op.check(&tensor, &call)?;
        self.start_all_reduce(call, elements::owned(tensor, &call)?, op)
    }

    fn start_all_reduce(&self, call: Call, mut elements: Tensor, op: ReduceOp) -> Result<Work<Tensor>> {
        self.compare(&call, || format!("{op:?} of {}", layout(&elements)))?;
        let begun = self.inner.all_reduce(tensors::borrow(&elements), op.code());
        Work::new(call, begun, move || op.finish(&mut elements, &call).map(|()| elements))
    }

    /// [`all_reduce`](Self::all_reduce) of several tensors of one dtype in one message. CPU tensors only.
    ///
    /// # Errors
    /// As [`all_reduce`](Self::all_reduce); [`Error::Argument`](crate::Error::Argument) where there is no tensor, or they
    /// differ in dtype or device.
    pub fn all_reduce_coalesced(&self, tensors: &mut [Tensor], op: ReduceOp) -> Result<()> {
        let call = self.call("all_reduce_coalesced");
        let all = tensors.iter().map(|tensor| elements::dense(tensor, &call)).collect::<Result<Vec<_>>>()?;
        self.start_all_reduce_coalesced(call, all.iter().map(Tensor::shallow_clone).collect(), op)?.wait()?;
        tensors.iter_mut().zip(&all).try_for_each(|(tensor, elements)| elements::write_back(tensor, elements, &call))
    }

    /// [`all_reduce_coalesced`](Self::all_reduce_coalesced) in the background.
    ///
    /// # Errors
    /// As [`all_reduce_coalesced`](Self::all_reduce_coalesced), now or out of the wait.
    pub fn all_reduce_coalesced_async(&self, tensors: Vec<Tensor>, op: ReduceOp) -> Result<Work<Vec<Tensor>>> {
        let call = self.call("all_reduce_coalesced");
        let all = tensors.into_iter().map(|tensor| elements::owned(tensor, &call)).collect::<Result<Vec<_>>>()?;
        self.start_all_reduce_coalesced(call, all, op)
    }

    fn start_all_reduce_coalesced(&self, call: Call, mut all: Vec<Tensor>, op: ReduceOp) -> Result<Work<Vec<Tensor>>> {
        let Some(first) = all.first() else { return call.refuse("there is no tensor; give one or more") };
        op.check(first, &call)?;
        call.alike(&all, false)?;
        self.compare(&call, || format!("{op:?} of {:?}", all.iter().map(layout).collect::<Vec<_>>()))?;
        let begun = self.inner.all_reduce_coalesced(&tensors::list(&all), op.code());
        Work::new(call, begun, move || {
            all.iter_mut().try_for_each(|elements| op.finish(elements, &call))?;
            Ok(all)
        })
    }

    /// The combination of all ranks' tensors, on `root` alone. All have the same shape and dtype.
    ///
    /// # Errors
    /// As [`all_reduce`](Self::all_reduce); [`Error::Argument`](crate::Error::Argument) where `root` is not in the group.
    pub fn reduce(&self, tensor: &Tensor, root: usize, op: ReduceOp) -> Result<Option<Tensor>> {
        let call = self.call("reduce");
        op.check(tensor, &call)?;
        // Gloo uses every rank's memory for what it has so far.
        self.start_reduce(call, elements::copied(tensor, &call)?, root, op)?.wait()
    }

    /// [`reduce`](Self::reduce) in the background.
    ///
    /// # Errors
    /// As [`reduce`](Self::reduce), now or out of the wait.
    pub fn reduce_async(&self, tensor: Tensor, root: usize, op: ReduceOp) -> Result<Work<Option<Tensor>>> {
        let call = self.call("reduce");
        op.check(&tensor, &call)?;
        self.start_reduce(call, elements::owned(tensor, &call)?, root, op)
    }

    fn start_reduce(
        &self,
        call: Call,
        mut elements: Tensor,
        root: usize,
        op: ReduceOp,
    ) -> Result<Work<Option<Tensor>>> {
        call.rank_in_group("root", root)?;
        self.compare(&call, || format!("{op:?} of {} to root {root}", layout(&elements)))?;
        let begun = self.inner.reduce(tensors::borrow(&elements), root as i32, op.code());
        Work::new(call, begun, move || {
            if call.rank != root {
                return Ok(None);
            }
            op.finish(&mut elements, &call)?;
            Ok(Some(elements))
        })
    }

    /// The combination of what all ranks have for this rank: `inputs` has a tensor for each, all of one shape.
    ///
    /// # Errors
    /// As [`all_reduce`](Self::all_reduce); [`Error::Argument`](crate::Error::Argument) where the list has not one tensor
    /// for each rank, or they differ in shape, dtype or device.
    pub fn reduce_scatter(&self, inputs: &[Tensor], op: ReduceOp) -> Result<Tensor> {
        self.start_reduce_scatter(self.call("reduce_scatter"), inputs, op)?.wait()
    }

    /// [`reduce_scatter`](Self::reduce_scatter) in the background, of a copy of the inputs.
    ///
    /// # Errors
    /// As [`reduce_scatter`](Self::reduce_scatter), now or out of the wait.
    pub fn reduce_scatter_async(&self, inputs: &[Tensor], op: ReduceOp) -> Result<Work<Tensor>> {
        self.start_reduce_scatter(self.call("reduce_scatter"), inputs, op)
    }

    fn start_reduce_scatter(&self, call: Call, inputs: &[Tensor], op: ReduceOp) -> Result<Work<Tensor>> {
        call.one_for_each_rank("tensors", inputs.len())?;
        call.alike(inputs, true)?;
        let rows = inputs.iter().map(|input| elements::dense(input, &call)).collect::<Result<Vec<_>>>()?;
        let input = call.torch(Tensor::f_stack(&rows, 0))?;
        self.start_share(call, &input, &inputs[self.rank].size(), op)
    }

    /// The combination of all ranks' rows for this rank: the first dimension of `input` is shared out equally over the ranks,
    /// in their order.
    ///
    /// # Errors
    /// As [`all_reduce`](Self::all_reduce); [`Error::Argument`](crate::Error::Argument) where the first dimension is no
    /// multiple of the number of ranks.
    pub fn reduce_scatter_tensor(&self, input: &Tensor, op: ReduceOp) -> Result<Tensor> {
        let call = self.call("reduce_scatter_tensor");
        let rows = call.equal_shares(input)?;
        self.start_share(call, &elements::dense(input, &call)?, &with_rows(input, rows), op)?.wait()
    }

    /// [`reduce_scatter_tensor`](Self::reduce_scatter_tensor) in the background.
    ///
    /// # Errors
    /// As [`reduce_scatter_tensor`](Self::reduce_scatter_tensor), now or out of the wait.
    pub fn reduce_scatter_tensor_async(&self, input: Tensor, op: ReduceOp) -> Result<Work<Tensor>> {
        let call = self.call("reduce_scatter_tensor");
        let rows = call.equal_shares(&input)?;
        let shape = with_rows(&input, rows);
        self.start_share(call, &elements::owned(input, &call)?, &shape, op)
    }

    fn start_share(&self, call: Call, input: &Tensor, shape: &[i64], op: ReduceOp) -> Result<Work<Tensor>> {
        op.check(input, &call)?;
        self.compare(&call, || format!("{op:?} of {}", layout(input)))?;
        let mut output = elements::empty(input, None, shape, &call)?;
        let (to, from) = (elements::flat(&output, &call)?, elements::flat(input, &call)?);
        let begun = self.inner.reduce_scatter(tensors::borrow(&to), tensors::borrow(&from), op.code());
        Work::new(call, begun, move || op.finish(&mut output, &call).map(|()| output))
    }
}

/// The shape of a tensor with so many rows.
pub(super) fn with_rows(tensor: &Tensor, rows: i64) -> Vec<i64> {
    let mut shape = tensor.size();
    if let Some(first) = shape.first_mut() {
        *first = rows;
    }
    shape
}
