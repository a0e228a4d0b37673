//! What a collective works on: memory in which the elements lie one after the other, and that nobody else reads meanwhile.

use tch::{Kind, Tensor};

use super::call::Call;
use crate::bridge::ffi;
use crate::error::Result;
use crate::tensors;

/// The dtypes that Gloo and NCCL know, and so those that they can combine.
pub(crate) const KNOWN_KINDS: [Kind; 9] = [
    Kind::Float,
    Kind::Double,
    Kind::Half,
    Kind::BFloat16,
    Kind::Int8,
    Kind::Uint8,
    Kind::Bool,
    Kind::Int,
    Kind::Int64,
];

/// The tensor's own memory where its elements lie one after the other, else a copy that is so; without its history.
///
/// Gloo walks a tensor's memory from its first element on, whatever the strides say.
pub(crate) fn dense(tensor: &Tensor, call: &Call) -> Result<Tensor> {
    call.backend.serves(tensor, call)?;
    if tensor.is_sparse() {
        return call.refuse("the tensor is sparse; make it dense with `to_dense` first");
    }
    // Conjugates and negatives of complex numbers are marks on the tensor, which Gloo does not read.
    let plain = tensor.f_detach().and_then(|plain| plain.f_resolve_conj()).and_then(|plain| plain.f_resolve_neg());
    call.torch(plain.and_then(|plain| plain.f_contiguous()))
}

/// Elements that nothing else can reach: the tensor's own memory where no other handle, view or graph holds it, else a copy.
pub(crate) fn owned(tensor: Tensor, call: &Call) -> Result<Tensor> {
    let sole = ffi::is_sole_owner(tensors::borrow(&tensor));
    let elements = dense(&tensor, call)?;
    let own = sole || elements.data_ptr() != tensor.data_ptr();
    drop(tensor);
    if own { Ok(elements) } else { call.torch(elements.f_detach_copy()) }
}

/// A copy of the elements.
pub(crate) fn copied(tensor: &Tensor, call: &Call) -> Result<Tensor> {
    let elements = dense(tensor, call)?;
    if elements.data_ptr() == tensor.data_ptr() { call.torch(elements.f_detach_copy()) } else { Ok(elements) }
}

/// Puts what a collective left in `elements` into the tensor that they are of.
pub(crate) fn write_back(tensor: &mut Tensor, elements: &Tensor, call: &Call) -> Result<()> {
    if elements.data_ptr() == tensor.data_ptr() {
        return Ok(());
    }
    call.torch(tensor.f_detach().and_then(|mut detached| detached.f_copy_(elements))).map(drop)
}

/// The same memory as one row of elements, as bytes where a backend does not know the dtype: what is only moved needs none.
pub(crate) fn flat(elements: &Tensor, call: &Call) -> Result<Tensor> {
    shaped(elements, &[elements.numel() as i64], call)
}

/// The same memory as `count` rows of elements.
pub(crate) fn rows(elements: &Tensor, count: usize, call: &Call) -> Result<Tensor> {
    let columns = elements.numel() / count;
    shaped(elements, &[count as i64, columns as i64], call)
}

fn shaped(elements: &Tensor, shape: &[i64], call: &Call) -> Result<Tensor> {
    let view = elements.f_view(shape);
    call.torch(if KNOWN_KINDS.contains(&elements.kind()) {
        view
    } else {
        view.and_then(|view| view.f_view_dtype(Kind::Uint8))
    })
}

/// A new tensor of `like`'s dtype and device: `first`, if any, before `rest`.
pub(crate) fn empty(like: &Tensor, first: Option<i64>, rest: &[i64], call: &Call) -> Result<Tensor> {
    let shape: Vec<i64> = first.into_iter().chain(rest.iter().copied()).collect();
    call.torch(Tensor::f_empty(shape, (like.kind(), like.device())))
}
