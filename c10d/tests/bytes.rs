//! The values of tensors as bytes, out of them and into them.

use std::fs::File;
use std::io::{ErrorKind, Seek, Write};

use tch::{Device, Kind, Tensor};
use trainloop_c10d::Error;
use trainloop_c10d::aten::{byte_len, copy_values, fill_from, for_each_chunk};

/// Large enough to be copied past the caches.
const LARGE: i64 = (1 << 20) + 20_000;

fn numbers(count: i64) -> Tensor {
    Tensor::arange(count, (Kind::Int64, Device::Cpu)).remainder(251).to_kind(Kind::Uint8)
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = Vec::new();
    for_each_chunk::<Error>(tensor, |chunk| {
        bytes.extend_from_slice(chunk);
        Ok(())
    })
    .unwrap();
    bytes
}

fn fill(tensor: &Tensor, values: &[u8]) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(values).unwrap();
    file.rewind().unwrap();
    fill_from(tensor, &file).unwrap();
    assert_eq!(file.stream_position().unwrap(), values.len() as u64, "only its own bytes are read");
}

/// At lengths around those at which a page, a line or a vector is full, to places that are aligned and that are not.
#[test]
fn values_are_copied_wherever_they_lie() {
    let source = numbers(LARGE + 64);
    for length in [0, 1, 63, 64, 1 << 20, (1 << 20) + 1, (1 << 20) + 16 * 1024 - 1, LARGE] {
        for (from, to) in [(0, 0), (1, 0), (0, 1), (3, 64)] {
            let target = Tensor::zeros([LARGE + 128], (Kind::Uint8, Device::Cpu));
            let part = source.narrow(0, from, length);
            copy_values(&target.narrow(0, to, length), &part).unwrap();
            let mut expected = vec![0; LARGE as usize + 128];
            expected[to as usize..(to + length) as usize].copy_from_slice(&bytes(&part));
            assert!(bytes(&target) == expected, "{length} bytes from {from} to {to}");
        }
    }
}

#[test]
fn a_transposed_tensor_is_copied_and_filled_by_its_values() {
    let source = numbers(2 << 20).view([1 << 10, 2 << 10]);
    for (target, source) in [
        (source.zeros_like().tr(), source.tr()),
        (Tensor::zeros([2 << 10, 1 << 10], (Kind::Uint8, Device::Cpu)), source.tr()),
        (Tensor::zeros([2 << 10, 1 << 10], (Kind::Uint8, Device::Cpu)).tr(), source.shallow_clone()),
    ] {
        copy_values(&target, &source).unwrap();
        assert_eq!(target, source);
        let _ = target.shallow_clone().zero_();
        fill(&target, &bytes(&source));
        assert_eq!(target, source);
    }
}

/// A leaf that requires a gradient is written as under `no_grad`, and what autograd keeps of it is known to be old.
#[test]
fn autograd_knows_of_the_new_values() {
    let kind = (Kind::Double, Device::Cpu);
    let other = Tensor::ones([300_000], kind);
    let copy = |leaf: &Tensor| copy_values(leaf, &other).unwrap();
    let read = |leaf: &Tensor| fill(leaf, &bytes(&other));
    for (name, write) in [("copied", &copy as &dyn Fn(&Tensor)), ("filled", &read)] {
        let leaf = Tensor::zeros([300_000], kind).set_requires_grad(true);
        let square = (&leaf * &leaf).sum(Kind::Double);
        write(&leaf);
        assert!(leaf.requires_grad() && leaf.is_leaf() && leaf.detach() == other, "{name}");
        let error = square.f_backward().unwrap_err().to_string();
        assert!(error.contains("modified by an inplace operation"), "{name}: {error}");
    }
}

#[test]
fn another_shape_or_dtype_is_an_error_that_names_both() {
    let target = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
    for (source, words) in [
        (Tensor::zeros([3, 2], (Kind::Float, Device::Cpu)), "Float[3, 2]"),
        (Tensor::zeros([2, 3], (Kind::Double, Device::Cpu)), "Double[2, 3]"),
    ] {
        let error = copy_values(&target, &source).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("Float[2, 3]"), "{error}");
    }
}

#[test]
fn a_file_that_ends_or_cannot_be_read_is_an_error() {
    let tensor = Tensor::zeros([4], (Kind::Float, Device::Cpu));
    assert_eq!(byte_len(&tensor), 16);
    let mut short = tempfile::tempfile().unwrap();
    short.write_all(&[0; 15]).unwrap();
    short.rewind().unwrap();
    assert_eq!(fill_from(&tensor, &short).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    let folder = File::open("/").unwrap();
    assert_eq!(fill_from(&tensor, &folder).unwrap_err().kind(), ErrorKind::IsADirectory);
}
