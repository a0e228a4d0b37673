//! What a forward pass may return.

use tch::{Kind, TchError, Tensor};

use crate::error::{Error, Result};
use crate::tuples::for_tuples;

/// The outputs of [`Model::call`](super::Model::call): a tensor, a tuple or vector or option of them, or a `Result` of
/// these, which `call` then unwraps. A strategy needs to see each tensor in them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from `model.call`",
    label = "not a tensor, nor a tuple, vector, option or `Result` of tensors",
    note = "return the tensors, and compute everything else outside the call"
)]
pub trait Outputs {
    /// What `call` gives: the outputs without the `Result` around them.
    type Value;

    /// The outputs, or the error of the forward pass.
    ///
    /// # Errors
    /// The forward pass's own.
    fn into_value(self) -> Result<Self::Value>;

    /// Adds each tensor of `value` to `tensors`.
    fn collect<'a>(value: &'a Self::Value, tensors: &mut Vec<&'a Tensor>);

    /// The same with float16 and bfloat16 tensors in float32: what [autocast](super::ModelOptions::autocast) gives the loss.
    /// Outputs of one's own that do not say otherwise stay as they are.
    ///
    /// # Errors
    /// libtorch's.
    fn into_float(value: Self::Value) -> Result<Self::Value> {
        Ok(value)
    }
}

impl Outputs for Tensor {
    type Value = Self;

    fn into_value(self) -> Result<Self> {
        Ok(self)
    }

    fn collect<'a>(value: &'a Self, tensors: &mut Vec<&'a Tensor>) {
        tensors.push(value);
    }

    fn into_float(value: Self) -> Result<Self> {
        let is_half = matches!(value.kind(), Kind::Half | Kind::BFloat16);
        Ok(if is_half { value.f_to_kind(Kind::Float)? } else { value })
    }
}

impl<O: Outputs> Outputs for Vec<O> {
    type Value = Vec<O::Value>;

    fn into_value(self) -> Result<Self::Value> {
        self.into_iter().map(O::into_value).collect()
    }

    fn collect<'a>(value: &'a Self::Value, tensors: &mut Vec<&'a Tensor>) {
        for output in value {
            O::collect(output, tensors);
        }
    }

    fn into_float(value: Self::Value) -> Result<Self::Value> {
        value.into_iter().map(O::into_float).collect()
    }
}

impl<O: Outputs> Outputs for Option<O> {
    type Value = Option<O::Value>;

    fn into_value(self) -> Result<Self::Value> {
        self.map(O::into_value).transpose()
    }

    fn collect<'a>(value: &'a Self::Value, tensors: &mut Vec<&'a Tensor>) {
        if let Some(output) = value {
            O::collect(output, tensors);
        }
    }

    fn into_float(value: Self::Value) -> Result<Self::Value> {
        value.map(O::into_float).transpose()
    }
}

impl<O: Outputs> Outputs for Result<O, Error> {
    type Value = O::Value;

    fn into_value(self) -> Result<Self::Value> {
        self?.into_value()
    }

    fn collect<'a>(value: &'a Self::Value, tensors: &mut Vec<&'a Tensor>) {
        O::collect(value, tensors);
    }

    fn into_float(value: Self::Value) -> Result<Self::Value> {
        O::into_float(value)
    }
}

impl<O: Outputs> Outputs for Result<O, TchError> {
    type Value = O::Value;

    fn into_value(self) -> Result<Self::Value> {
        self?.into_value()
    }

    fn collect<'a>(value: &'a Self::Value, tensors: &mut Vec<&'a Tensor>) {
        O::collect(value, tensors);
    }

    fn into_float(value: Self::Value) -> Result<Self::Value> {
        O::into_float(value)
    }
}

macro_rules! tuples {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Outputs),+> Outputs for ($($name,)+) {
            type Value = ($($name::Value,)+);

            fn into_value(self) -> Result<Self::Value> {
                Ok(($(self.$index.into_value()?,)+))
            }

            fn collect<'a>(value: &'a Self::Value, tensors: &mut Vec<&'a Tensor>) {
                $($name::collect(&value.$index, tensors);)+
            }

            fn into_float(value: Self::Value) -> Result<Self::Value> {
                Ok(($($name::into_float(value.$index)?,)+))
            }
        }
    };
}

for_tuples!(tuples);
