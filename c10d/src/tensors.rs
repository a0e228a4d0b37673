//! Between [`tch::Tensor`] and libtorch's `at::Tensor`.

use cxx::UniquePtr;
use tch::Tensor;

use crate::bridge::ffi;

/// The `at::Tensor` behind a tensor of tch's.
pub(crate) fn borrow(tensor: &Tensor) -> &ffi::Tensor {
    // SAFETY: tch's `C_tensor` is libtorch's `at::Tensor`, allocated by tch and alive as long as `tensor` is.
    unsafe { &*tensor.as_ptr().cast::<ffi::Tensor>() }
}

/// A tensor of tch's from one that C++ has made.
pub(crate) fn own(tensor: UniquePtr<ffi::Tensor>) -> Tensor {
    // SAFETY: the pointer was made by `new at::Tensor` and is given up here; tch frees it with `delete`.
    unsafe { Tensor::from_ptr(tensor.into_raw().cast()) }
}

/// A list of handles; no data is copied.
pub(crate) fn list<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> UniquePtr<ffi::TensorList> {
    let mut list = ffi::new_tensor_list();
    for tensor in tensors {
        list.pin_mut().push(borrow(tensor));
    }
    list
}

/// The tensors of a list that C++ has made.
pub(crate) fn own_list(list: &ffi::TensorList) -> Result<Vec<Tensor>, cxx::Exception> {
    (0..list.len()).map(|index| list.get(index).map(own)).collect()
}
