//! Values that ranks can combine.

use tch::{Device, Kind, Tensor};

use crate::c10d::{ProcessGroup, ReduceOp};
use crate::error::{Error, Result};

/// A value that [`Context::all_reduce`](super::Context::all_reduce) can combine over ranks: a tensor, an `f64`, an `i64`,
/// or an array of these numbers (one message for all of them).
pub trait AllReduce: Sized {
    /// The combination of all ranks' values.
    ///
    /// # Errors
    /// Those of the collective; [`Error::Config`] for the mean of whole numbers.
    fn all_reduce(self, group: Option<&ProcessGroup>, op: ReduceOp, device: Device) -> Result<Self>;
}

impl AllReduce for Tensor {
    fn all_reduce(self, group: Option<&ProcessGroup>, op: ReduceOp, _device: Device) -> Result<Self> {
        // A copy: the caller may hold other handles of the tensor, and a failed collective leaves rubbish.
        let mut result = self.f_detach_copy()?;
        if let Some(group) = group {
            group.all_reduce(&mut result, op)?;
        }
        Ok(result)
    }
}

impl<const N: usize> AllReduce for [f64; N] {
    fn all_reduce(self, group: Option<&ProcessGroup>, op: ReduceOp, device: Device) -> Result<Self> {
        let Some(group) = group else { return Ok(self) };
        let mut tensor = Tensor::from_slice(&self).f_to_device(device)?;
        group.all_reduce(&mut tensor, op)?;
        numbers(&tensor)
    }
}

impl<const N: usize> AllReduce for [i64; N] {
    fn all_reduce(self, group: Option<&ProcessGroup>, op: ReduceOp, device: Device) -> Result<Self> {
        if op == ReduceOp::Mean {
            return Err(Error::config(
                "the mean of whole numbers is no whole number; reduce an f64, or use ReduceOp::Sum",
            ));
        }
        let Some(group) = group else { return Ok(self) };
        let mut tensor = Tensor::from_slice(&self).f_to_device(device)?;
        group.all_reduce(&mut tensor, op)?;
        numbers(&tensor)
    }
}

impl AllReduce for f64 {
    fn all_reduce(self, group: Option<&ProcessGroup>, op: ReduceOp, device: Device) -> Result<Self> {
        [self].all_reduce(group, op, device).map(|[value]| value)
    }
}

impl AllReduce for i64 {
    fn all_reduce(self, group: Option<&ProcessGroup>, op: ReduceOp, device: Device) -> Result<Self> {
        [self].all_reduce(group, op, device).map(|[value]| value)
    }
}

fn numbers<T: tch::kind::Element + Copy + Default, const N: usize>(tensor: &Tensor) -> Result<[T; N]> {
    debug_assert!(tensor.kind() == T::KIND || tensor.kind() == Kind::Int64);
    let mut values = [T::default(); N];
    tensor.f_copy_data(&mut values, N)?;
    Ok(values)
}
