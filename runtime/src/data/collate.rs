//! How samples become a batch, by their type.

use std::fmt::Debug;

use tch::kind::Element;
use tch::{Kind, Tensor};

use super::map_tensors::MapTensors;
use crate::error::{Error, Result};

/// Samples that can become a batch: PyTorch's `default_collate`, by type.
///
/// | sample | batch |
/// |---|---|
/// | `f32`, `f64`, `i8`, `i16`, `i32`, `i64`, `u8`, `bool` | a tensor `[samples]` of that dtype |
/// | `u16`, `u32`, `usize` | a tensor `[samples]` of int64 |
/// | [`Tensor`]s of one size | a tensor `[samples, …]` |
/// | `[T; N]`, and `Vec<T>`s of one length, of numbers | a tensor `[samples, length]` |
/// | `String` | `Vec<String>` |
/// | a tuple of these | the tuple of the batches |
/// | a struct that derives `Collate` | a struct of the batches, which the derive makes |
///
/// ```no_run
/// use tch::Tensor;
/// use trainloop::data::Collate;
/// use trainloop::prelude::*;
///
/// #[derive(Collate)]
/// struct Digit {
///     image: Tensor, // [1, 28, 28]
///     label: i64,
/// }
///
/// #[derive(Clone)]
/// struct Digits; // …
///
/// impl Dataset for Digits {
///     type Sample = Digit;
///     type Batch = DigitBatch; // made by the derive: `image` is [samples, 1, 28, 28], `label` is [samples]
///
///     fn len(&self) -> usize { 60_000 }
///     fn get(&self, index: usize) -> Result<Digit> {
///         # let read_image = |_| -> Result<Tensor> { unimplemented!() };
///         Ok(Digit { image: read_image(index)?, label: 7 })
///     }
///     fn collate(&self, samples: Vec<Digit>) -> Result<DigitBatch> {
///         Digit::collate(samples)
///     }
/// }
/// # fn main() {}
/// ```
///
/// Sequences of different lengths are padded where the field says `#[collate(pad = value)]`: its batch is then [`Padded`].
/// [The derive](trainloop_macros::Collate) has a table of the options.
#[diagnostic::on_unimplemented(
    message = "`{Self}`s cannot become a batch: the type does not implement `Collate`",
    label = "not `Collate`",
    note = "derive it for a struct of your own, `#[derive(trainloop::data::Collate)]`; numbers, tensors, strings, arrays and vectors of numbers, and tuples have it"
)]
pub trait Collate: Sized {
    /// What several samples become.
    type Batch: MapTensors + Debug + Send + 'static;

    /// A batch of at least one sample.
    ///
    /// # Errors
    /// Where samples do not fit together, such as tensors of different sizes.
    fn collate(samples: Vec<Self>) -> Result<Self::Batch>;
}

/// Samples that can become a batch though their lengths differ: `#[collate(pad = value)]`.
///
/// | sample | value | [`Padded::values`] |
/// |---|---|---|
/// | `Vec<T>` of numbers | a `T` | `[samples, longest]` of that dtype |
/// | [`Tensor`]s `[length, …]` | an `f64` | `[samples, longest, …]` |
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot be padded: `#[collate(pad = …)]` takes a sequence",
    label = "not a `Vec` of numbers or a `Tensor`",
    note = "remove `pad`, or make the field a `Vec` of numbers or a `Tensor` whose first dimension is its length"
)]
pub trait Pad: Sized {
    /// What fills the places behind a sequence's end.
    type Value;

    /// A batch of at least one sequence, as long as the longest.
    ///
    /// # Errors
    /// Where they differ in more than their lengths.
    fn pad(samples: Vec<Self>, value: Self::Value) -> Result<Padded>;
}

/// Sequences of different lengths in one tensor: PyTorch's `pad_sequence`, with the lengths.
#[derive(Debug)]
pub struct Padded {
    /// The sequences, `[samples, longest, …]`, with the padding's value behind each end.
    pub values: Tensor,
    /// Their lengths, `[samples]` of int64.
    pub lengths: Tensor,
}

impl Padded {
    /// True where `values` has a sequence's own value, false where it is padding: `[samples, longest]`.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn mask(&self) -> Result<Tensor> {
        let longest = self.values.size().get(1).copied().unwrap_or(0);
        let places = Tensor::f_arange(longest, (Kind::Int64, self.lengths.device()))?;
        Ok(places.f_unsqueeze(0)?.f_lt_tensor(&self.lengths.f_unsqueeze(1)?)?)
    }
}

macro_rules! numbers {
    ($($number:ty)+) => {$(
        impl Collate for $number {
            type Batch = Tensor;

            fn collate(samples: Vec<Self>) -> Result<Tensor> {
                Ok(Tensor::f_from_slice(&samples)?)
            }
        }
    )+};
}

numbers!(f32 f64 i8 i16 i32 i64 u8 bool);

/// libtorch has no dtype of its own for them that its operations take.
macro_rules! counts {
    ($($number:ty)+) => {$(
        impl Collate for $number {
            type Batch = Tensor;

            fn collate(samples: Vec<Self>) -> Result<Tensor> {
                let number = |number: Self| {
                    i64::try_from(number).map_err(|_| Error::other(format!("{number} is too large for an int64 tensor")))
                };
                i64::collate(samples.into_iter().map(number).collect::<Result<_>>()?)
            }
        }
    )+};
}

counts!(u16 u32 usize);

impl Collate for String {
    type Batch = Vec<String>;

    fn collate(samples: Vec<Self>) -> Result<Vec<String>> {
        Ok(samples)
    }
}

impl Collate for Tensor {
    type Batch = Tensor;

    fn collate(samples: Vec<Self>) -> Result<Tensor> {
        fit(
            &samples,
            |tensor| (tensor.size(), tensor.kind()),
            |(size, kind)| format!("{size:?} of {kind:?}"),
            "size and dtype",
        )?;
        Ok(Tensor::f_stack(&samples, 0)?)
    }
}

impl<T: Element> Collate for Vec<T> {
    type Batch = Tensor;

    fn collate(samples: Vec<Self>) -> Result<Tensor> {
        fit(&samples, Vec::len, |length| format!("length {length}"), "length; pad them with `#[collate(pad = …)]`")?;
        let size = [samples.len() as i64, samples.first().map_or(0, Vec::len) as i64];
        Ok(Tensor::f_from_slice(&samples.concat())?.f_view(size)?)
    }
}

impl<T: Element, const N: usize> Collate for [T; N] {
    type Batch = Tensor;

    fn collate(samples: Vec<Self>) -> Result<Tensor> {
        let size = [samples.len() as i64, N as i64];
        Ok(Tensor::f_from_slice(&samples.concat())?.f_view(size)?)
    }
}

impl<T: Element> Pad for Vec<T> {
    type Value = T;

    fn pad(mut samples: Vec<Self>, value: T) -> Result<Padded> {
        let lengths: Vec<usize> = samples.iter().map(Vec::len).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        for sample in &mut samples {
            sample.resize(longest, value.clone());
        }
        Ok(Padded { values: Collate::collate(samples)?, lengths: Collate::collate(lengths)? })
    }
}

impl Pad for Tensor {
    type Value = f64;

    fn pad(samples: Vec<Self>, value: f64) -> Result<Padded> {
        let beside = |tensor: &Tensor| (tensor.size().get(1..).map(<[i64]>::to_vec), tensor.kind());
        fit(
            &samples,
            beside,
            |(size, kind)| format!("{:?} beside the length, of {kind:?}", size.as_deref().unwrap_or_default()),
            "size beside the length, and dtype",
        )?;
        let length = |tensor: &Tensor| {
            tensor
                .size()
                .first()
                .copied()
                .ok_or_else(|| Error::other("a sequence has a dimension for its length; this tensor has none"))
        };
        let lengths = samples.iter().map(length).collect::<Result<Vec<i64>>>()?;
        let values = Tensor::f_pad_sequence(&samples, true, value, "right")?;
        Ok(Padded { values, lengths: Collate::collate(lengths)? })
    }
}

/// All samples of a batch have what the first has, in `what`.
fn fit<S, P: PartialEq>(samples: &[S], part: impl Fn(&S) -> P, shown: impl Fn(&P) -> String, what: &str) -> Result<()> {
    let Some((first, rest)) = samples.split_first() else { return Ok(()) };
    let first = part(first);
    for (place, sample) in rest.iter().enumerate() {
        let other = part(sample);
        if other != first {
            return Err(Error::other(format!(
                "sample {} of the batch has {} and the first has {}; samples of a batch have one {what}",
                place + 1,
                shown(&other),
                shown(&first)
            )));
        }
    }
    Ok(())
}

macro_rules! tuples {
    ($($name:ident $values:ident $index:tt),+) => {
        impl<$($name: Collate),+> Collate for ($($name,)+) {
            type Batch = ($($name::Batch,)+);

            fn collate(samples: Vec<Self>) -> Result<Self::Batch> {
                $(let mut $values = Vec::with_capacity(samples.len());)+
                for sample in samples {
                    $($values.push(sample.$index);)+
                }
                Ok(($($name::collate($values)?,)+))
            }
        }
    };
}

tuples!(A a 0);
tuples!(A a 0, B b 1);
tuples!(A a 0, B b 1, C c 2);
tuples!(A a 0, B b 1, C c 2, D d 3);
tuples!(A a 0, B b 1, C c 2, D d 3, E e 4);
tuples!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5);

/// What the derive does with one field.
///
/// # Errors
/// Those of the field's type, with its name.
pub fn collate_field<T: Collate>(name: &str, samples: Vec<T>) -> Result<T::Batch> {
    T::collate(samples).map_err(|error| of_field(name, &error))
}

/// What the derive does with one field that is to be padded.
///
/// # Errors
/// Those of the field's type, with its name.
pub fn pad_field<T: Pad>(name: &str, samples: Vec<T>, value: T::Value) -> Result<Padded> {
    T::pad(samples, value).map_err(|error| of_field(name, &error))
}

fn of_field(name: &str, error: &Error) -> Error {
    Error::other(format!("field `{name}`: {}", crate::error::with_causes(error)))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn ints(tensor: &Tensor) -> Vec<i64> {
        Vec::try_from(tensor.to_kind(Kind::Int64).flatten(0, -1)).unwrap()
    }

    #[test]
    fn each_type_has_its_batch() {
        let batch = f32::collate(vec![1.0, 2.0]).unwrap();
        assert_eq!((batch.kind(), ints(&batch)), (Kind::Float, vec![1, 2]));
        assert_eq!(bool::collate(vec![true, false]).unwrap().kind(), Kind::Bool);
        let batch = usize::collate(vec![3, 4]).unwrap();
        assert_eq!((batch.kind(), ints(&batch)), (Kind::Int64, vec![3, 4]));
        let batch = <[u8; 3]>::collate(vec![[1, 2, 3], [4, 5, 6]]).unwrap();
        assert_eq!((batch.size(), batch.kind(), ints(&batch)), (vec![2, 3], Kind::Uint8, vec![1, 2, 3, 4, 5, 6]));
        let batch = Vec::<i16>::collate(vec![vec![1, 2], vec![3, 4], vec![5, 6]]).unwrap();
        assert_eq!((batch.size(), batch.kind(), ints(&batch)), (vec![3, 2], Kind::Int16, vec![1, 2, 3, 4, 5, 6]));
        let image = |value: i64| Tensor::full([1, 2], value, (Kind::Int64, Device::Cpu));
        let (images, labels, names) =
            Collate::collate(vec![(image(7), 1_i64, "a".to_owned()), (image(8), 0, "b".to_owned())]).unwrap();
        assert_eq!((images.size(), ints(&images)), (vec![2, 1, 2], vec![7, 7, 8, 8]));
        assert_eq!((ints(&labels), names), (vec![1, 0], vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn samples_that_do_not_fit_together_are_refused() {
        let refused = |error: Error| error.to_string();
        let tensor = |size: i64, kind| Tensor::zeros([2, size], (kind, Device::Cpu));
        let samples = vec![tensor(3, Kind::Float), tensor(3, Kind::Float), tensor(4, Kind::Float)];
        let error = refused(Tensor::collate(samples).unwrap_err());
        assert!(
            error.contains("sample 2 of the batch has [2, 4] of Float and the first has [2, 3] of Float"),
            "{error}"
        );
        let error = refused(Tensor::collate(vec![tensor(3, Kind::Float), tensor(3, Kind::Int64)]).unwrap_err());
        assert!(error.contains("[2, 3] of Int64"), "{error}");
        let error = refused(collate_field("tokens", vec![vec![1_i64, 2], vec![3]]).unwrap_err());
        assert!(error.starts_with("field `tokens`: sample 1 of the batch has length 1"), "{error}");
        assert!(error.contains("#[collate(pad"), "{error}");
        let error = refused(usize::collate(vec![0, usize::MAX]).unwrap_err());
        assert!(error.contains("too large for an int64"), "{error}");
    }

    /// As `torch.nn.utils.rnn.pad_sequence(…, batch_first=True, padding_value=-1)`.
    #[test]
    fn sequences_are_padded_to_the_longest() {
        let Padded { values, lengths } = Pad::pad(vec![vec![1_i32, 2, 3], vec![], vec![4]], -1).unwrap();
        assert_eq!((values.size(), values.kind()), (vec![3, 3], Kind::Int));
        assert_eq!(ints(&values), [1, 2, 3, -1, -1, -1, 4, -1, -1]);
        assert_eq!(ints(&lengths), [3, 0, 1]);
        let mask = Padded { values, lengths }.mask().unwrap();
        assert_eq!((mask.kind(), ints(&mask)), (Kind::Bool, vec![1, 1, 1, 0, 0, 0, 1, 0, 0]));

        let frames = |length: i64| Tensor::ones([length, 2], (Kind::Float, Device::Cpu));
        let padded = Pad::pad(vec![frames(1), frames(2)], 0.5).unwrap();
        let values = Vec::<f32>::try_from(padded.values.flatten(0, -1)).unwrap();
        assert_eq!((padded.values.size(), values), (vec![2, 2, 2], vec![1.0, 1.0, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0]));
        assert_eq!(padded.mask().unwrap().size(), [2, 2]);
        let wide = Tensor::ones([1, 3], (Kind::Float, Device::Cpu));
        let error = Pad::pad(vec![frames(1), wide], 0.0).unwrap_err().to_string();
        assert!(error.contains("sample 1 of the batch has [3] beside the length"), "{error}");
        assert!(Pad::pad(vec![Tensor::from(1.0)], 0.0).unwrap_err().to_string().contains("a dimension for its length"));
    }
}
