//! Batches whose tensors can be gone over, to bring them elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};

use tch::{Cuda, Device, Tensor};

use super::collate::Padded;
use super::dataset::Finish;
use crate::c10d::aten;
use crate::error::Result;
use crate::tuples::for_tuples;

/// A batch whose tensors can be gone over: what [`Batch::on_device`](super::Batch::on_device) and
/// [`pin_memory`](super::DataLoaderBuilder::pin_memory) need.
///
/// Tensors have it, arrays, vectors, maps and tuples of what has it, `Option`s of it, [`Padded`], and the batches that
/// [`#[derive(Collate)]`](trainloop_macros::Collate) makes; strings and numbers, which have no tensor in them, stay as they are.
/// A batch of one's own says it in a line for each field:
///
/// ```
/// use tch::Tensor;
/// use trainloop::Result;
/// use trainloop::data::MapTensors;
///
/// struct Pairs {
///     first: Tensor,
///     second: Tensor,
///     names: Vec<String>,
/// }
///
/// impl MapTensors for Pairs {
///     fn map_tensors(self, map: &mut dyn FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
///         Ok(Self { first: map(self.first)?, second: map(self.second)?, names: self.names })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the tensors of a `{Self}` cannot be gone over: the type does not implement `MapTensors`",
    label = "not `MapTensors`",
    note = "implement `trainloop::data::MapTensors` for it; batches made by `#[derive(Collate)]`, tensors, and arrays, vectors \
            and tuples of them have it"
)]
pub trait MapTensors: Sized {
    /// The same with each tensor replaced by what `map` gives for it.
    ///
    /// # Errors
    /// The first of `map`.
    fn map_tensors(self, map: &mut dyn FnMut(Tensor) -> Result<Tensor>) -> Result<Self>;
}

/// A batch on `device`. A copy to a GPU is only asked for: what is computed there waits for it, the CPU does not, where the
/// memory is pinned.
pub(super) fn on_device<B: MapTensors>(batch: B, device: Device) -> Result<B> {
    batch.map_tensors(&mut |tensor| {
        if tensor.device() == device {
            return Ok(tensor);
        }
        Ok(tensor.f_to_device_(device, tensor.kind(), device.is_cuda(), false)?)
    })
}

/// What is done with batches where their CPU tensors are, or are not, to lie in pinned memory. Without a GPU there is none.
pub(super) fn pinning<B: MapTensors>(pin_memory: bool) -> Finish<B> {
    if pin_memory && Cuda::is_available() { pinned } else { Ok }
}

fn pinned<B: MapTensors>(batch: B) -> Result<B> {
    batch.map_tensors(&mut |tensor| {
        if tensor.device() == Device::Cpu { Ok(aten::pin_memory(&tensor)?) } else { Ok(tensor) }
    })
}

impl MapTensors for Tensor {
    fn map_tensors(self, map: &mut dyn FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
        map(self)
    }
}

impl MapTensors for Padded {
    fn map_tensors(self, map: &mut dyn FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self { values: map(self.values)?, lengths: map(self.lengths)? })
    }
}

impl<T: MapTensors> MapTensors for Vec<T> {
    fn map_tensors(self, map: &mut dyn FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
        self.into_iter().map(|part| part.map_tensors(map)).collect()
    }
}

impl<T: MapTensors> MapTensors for Option<T> {
    fn map_tensors(self, map: &mut dyn FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
        self.map(|part| part.map_tensors(map)).transpose()
    }
}

impl<T: MapTensors, const N: usize> MapTensors for [T; N] {
    fn map_tensors(self, map: &mut dyn FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
        let mut parts = Vec::with_capacity(N);
        for part in self {
            parts.push(part.map_tensors(map)?);
        }
        Ok(parts.try_into().unwrap_or_else(|_| unreachable!("as many parts as there were")))
    }
}

impl<K: Eq + Hash, T: MapTensors, S: BuildHasher + Default> MapTensors for HashMap<K, T, S> {
    fn map_tensors(self, map: &mut dyn FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
        self.into_iter().map(|(key, part)| Ok((key, part.map_tensors(map)?))).collect()
    }
}

impl<K: Ord, T: MapTensors> MapTensors for BTreeMap<K, T> {
    fn map_tensors(self, map: &mut dyn FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
        self.into_iter().map(|(key, part)| Ok((key, part.map_tensors(map)?))).collect()
    }
}

macro_rules! without_tensors {
    ($($plain:ty)+) => {$(
        impl MapTensors for $plain {
            fn map_tensors(self, _: &mut dyn FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
                Ok(self)
            }
        }
    )+};
}

without_tensors!(() bool char f32 f64 i8 i16 i32 i64 isize u8 u16 u32 u64 usize String);

macro_rules! tuples {
    ($($name:ident $index:tt),+) => {
        impl<$($name: MapTensors),+> MapTensors for ($($name,)+) {
            fn map_tensors(self, map: &mut dyn FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
                Ok(($(self.$index.map_tensors(map)?,)+))
            }
        }
    };
}

for_tuples!(tuples);

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::error::Error;

    fn number(value: f64) -> Tensor {
        Tensor::from(value)
    }

    #[test]
    fn each_tensor_is_mapped_once_and_the_rest_stays() {
        let padded = Padded { values: number(6.0), lengths: number(7.0) };
        let named = BTreeMap::from([("a", number(8.0))]);
        let batch = (
            number(1.0),
            [number(2.0), number(3.0)],
            vec![Some(number(4.0)), None],
            (vec!["name".to_owned()], 5_i64),
            padded,
            named,
        );
        let mut seen = Vec::new();
        let (first, pair, some, plain, padded, named) = batch
            .map_tensors(&mut |tensor| {
                seen.push(tensor.double_value(&[]));
                Ok(tensor.f_neg()?)
            })
            .unwrap();
        assert_eq!(seen, [1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0]);
        let value = |tensor: &Tensor| tensor.double_value(&[]);
        assert_eq!((value(&first), value(&pair[1]), some.len()), (-1.0, -3.0, 2));
        assert_eq!(some[0].as_ref().map(value), Some(-4.0));
        assert_eq!((plain, value(&padded.lengths), value(&named["a"])), ((vec!["name".to_owned()], 5), -7.0, -8.0));
    }

    #[test]
    fn the_first_error_is_the_batchs() {
        let mut calls = 0;
        let error = [number(1.0), number(2.0), number(3.0)]
            .map_tensors(&mut |tensor| {
                calls += 1;
                if calls == 2 { Err(Error::other("the second")) } else { Ok(tensor) }
            })
            .unwrap_err();
        assert_eq!((error.to_string(), calls), ("the second".to_owned(), 2));
    }

    #[test]
    fn tensors_that_are_there_already_are_not_copied() {
        let tensor = Tensor::ones([2], (Kind::Float, Device::Cpu));
        let moved = on_device(tensor.shallow_clone(), Device::Cpu).unwrap();
        assert_eq!(moved.data_ptr(), tensor.data_ptr());
    }
}
