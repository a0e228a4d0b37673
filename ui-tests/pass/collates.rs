//! Samples that compile, and what their batches hold.
#![allow(clippy::all, clippy::pedantic, unreachable_pub)] // as users write, not as this project does

use tch::{Device, Kind, Tensor};
use trainloop::data::{Collate, MapTensors, Padded};

#[derive(Collate)]
#[collate(crate = trainloop)]
struct Everything {
    image: Tensor,
    label: u8,
    index: usize,
    #[collate(pad = -1)]
    tokens: Vec<i64>,
    #[collate(pad = PADDING)]
    frames: Tensor,
    place: [f32; 2],
    name: String,
    pair: (bool, f64),
    inner: Inner,
    r#type: i32,
}

const PADDING: f64 = 0.5;

#[derive(Collate)]
#[collate(name = Inners)]
/// Inside a sample.
pub struct Inner {
    /// How many.
    pub seen: i16,
}

fn numbered(number: u8) -> Everything {
    let size = |size: i64| Tensor::full([size], i64::from(number), (Kind::Float, Device::Cpu));
    Everything {
        image: size(3),
        label: number,
        index: number.into(),
        tokens: vec![7; number.into()],
        frames: size(number.into()),
        place: [number.into(); 2],
        name: number.to_string(),
        pair: (number > 1, 0.5),
        inner: Inner { seen: number.into() },
        r#type: number.into(),
    }
}

fn main() {
    let batch: EverythingBatch = Everything::collate(vec![numbered(1), numbered(2)]).unwrap();
    let Padded { values, lengths } = &batch.tokens;
    assert_eq!((batch.image.size(), batch.image.kind()), (vec![2, 3], Kind::Float));
    assert_eq!((batch.label.size(), batch.label.kind()), (vec![2], Kind::Uint8));
    assert_eq!((Vec::<i64>::try_from(&batch.index).unwrap(), batch.place.size()), (vec![1, 2], vec![2, 2]));
    assert_eq!(Vec::<i64>::try_from(values.flatten(0, -1)).unwrap(), [7, -1, 7, 7]);
    assert_eq!(Vec::<i64>::try_from(lengths).unwrap(), [1, 2]);
    assert_eq!(Vec::<f32>::try_from(batch.frames.values.flatten(0, -1)).unwrap(), [1.0, 0.5, 2.0, 2.0]);
    assert_eq!((batch.name, batch.pair.0.kind()), (vec!["1".to_owned(), "2".to_owned()], Kind::Bool));
    let inner: Inners = batch.inner;
    assert_eq!((inner.seen.kind(), batch.r#type.kind()), (Kind::Int16, Kind::Int));

    let batch = Everything::collate(vec![numbered(1), numbered(2)]).unwrap();
    let batch = batch.map_tensors(&mut |tensor| Ok(tensor.f_unsqueeze(0)?)).unwrap();
    assert_eq!((batch.label.size(), batch.tokens.lengths.size(), batch.name.len()), (vec![1, 2], vec![1, 2], 2));
    assert_eq!((batch.pair.1.size(), batch.inner.seen.size()), (vec![1, 2], vec![1, 2]));

    let mut other = numbered(2);
    other.image = Tensor::zeros([4], (Kind::Float, Device::Cpu));
    let error = Everything::collate(vec![numbered(1), other]).unwrap_err().to_string();
    assert!(error.starts_with("field `image`: sample 1 of the batch has [4]"), "{error}");
}
