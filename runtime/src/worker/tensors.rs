//! Tensors, alone or in something that holds several.

use std::collections::BTreeMap;

use tch::Tensor;

use crate::error::Result;
use crate::tuples::for_tuples;

/// What [`Context::gather`](super::Context::gather) and its kin take: a tensor, a tuple, vector, option or map of them, or a
/// reference to one of these. All ranks give the same shape of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` holds no tensors that ranks can exchange",
    label = "not a tensor, nor a tuple, vector, option or map of tensors",
    note = "for values that serde can write there are `gather_object` and `broadcast_object`"
)]
pub trait Tensors {
    /// The same with tensors of its own.
    type Owned;

    /// Shows each tensor, in the order in which [`map`](Self::map) goes.
    fn visit(&self, see: &mut dyn FnMut(&Tensor));

    /// The same, with what `change` makes of each tensor.
    ///
    /// # Errors
    /// Those of `change`.
    fn map(&self, change: &mut dyn FnMut(&Tensor) -> Result<Tensor>) -> Result<Self::Owned>;
}

impl Tensors for Tensor {
    type Owned = Self;

    fn visit(&self, see: &mut dyn FnMut(&Tensor)) {
        see(self);
    }

    fn map(&self, change: &mut dyn FnMut(&Tensor) -> Result<Tensor>) -> Result<Self> {
        change(self)
    }
}

impl<T: Tensors> Tensors for &T {
    type Owned = T::Owned;

    fn visit(&self, see: &mut dyn FnMut(&Tensor)) {
        (**self).visit(see);
    }

    fn map(&self, change: &mut dyn FnMut(&Tensor) -> Result<Tensor>) -> Result<T::Owned> {
        (**self).map(change)
    }
}

impl<T: Tensors> Tensors for Vec<T> {
    type Owned = Vec<T::Owned>;

    fn visit(&self, see: &mut dyn FnMut(&Tensor)) {
        for tensors in self {
            tensors.visit(see);
        }
    }

    fn map(&self, change: &mut dyn FnMut(&Tensor) -> Result<Tensor>) -> Result<Self::Owned> {
        self.iter().map(|tensors| tensors.map(change)).collect()
    }
}

impl<T: Tensors> Tensors for Option<T> {
    type Owned = Option<T::Owned>;

    fn visit(&self, see: &mut dyn FnMut(&Tensor)) {
        if let Some(tensors) = self {
            tensors.visit(see);
        }
    }

    fn map(&self, change: &mut dyn FnMut(&Tensor) -> Result<Tensor>) -> Result<Self::Owned> {
        self.as_ref().map(|tensors| tensors.map(change)).transpose()
    }
}

/// In the order of the keys.
impl<T: Tensors> Tensors for BTreeMap<String, T> {
    type Owned = BTreeMap<String, T::Owned>;

    fn visit(&self, see: &mut dyn FnMut(&Tensor)) {
        for tensors in self.values() {
            tensors.visit(see);
        }
    }

    fn map(&self, change: &mut dyn FnMut(&Tensor) -> Result<Tensor>) -> Result<Self::Owned> {
        self.iter().map(|(key, tensors)| Ok((key.clone(), tensors.map(change)?))).collect()
    }
}

macro_rules! tuples {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Tensors),+> Tensors for ($($name,)+) {
            type Owned = ($($name::Owned,)+);

            fn visit(&self, see: &mut dyn FnMut(&Tensor)) {
                $(self.$index.visit(see);)+
            }

            fn map(&self, change: &mut dyn FnMut(&Tensor) -> Result<Tensor>) -> Result<Self::Owned> {
                Ok(($(self.$index.map(change)?,)+))
            }
        }
    };
}

for_tuples!(tuples);
