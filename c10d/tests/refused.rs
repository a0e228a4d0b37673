//! Arguments that cannot be right: errors before anything is sent, saying both sides; the group goes on.

mod common;

use std::time::Duration;

use common::ranks;
use serde::Serialize;
use tch::{Kind, Tensor};
use trainloop_c10d::{Error, ProcessGroup, ReduceOp};

fn float(shape: &[i64]) -> Tensor {
    Tensor::ones(shape, tch::kind::FLOAT_CPU)
}

fn kind(kind: Kind) -> Tensor {
    float(&[2]).to_kind(kind)
}

fn sparse() -> Tensor {
    float(&[2, 2]).to_sparse_sparse_dim(2)
}

/// A call that rank 0 of two makes, and what its error says.
type Case = (fn(&ProcessGroup) -> Result<(), Error>, &'static str);

const CASES: [Case; 38] = [
    (|g| g.broadcast(&mut float(&[2]), 2), "broadcast: root 2 is not in a group of 2"),
    (|g| g.broadcast_async(float(&[2]), 7).map(drop), "broadcast: root 7 is not in a group of 2"),
    (|g| g.broadcast(&mut sparse(), 0), "sparse; make it dense"),
    (|g| g.all_reduce(&mut kind(Kind::Int16), ReduceOp::Sum), "cannot combine Int16 values"),
    (|g| g.all_reduce(&mut kind(Kind::ComplexFloat), ReduceOp::Sum), "cannot combine ComplexFloat values"),
    (|g| g.all_reduce_async(kind(Kind::Int64), ReduceOp::Mean).map(drop), "the mean of Int64 values"),
    (|g| g.all_reduce(&mut kind(Kind::Bool), ReduceOp::Sum), "the sum of Bool values"),
    (|g| g.all_reduce(&mut kind(Kind::Float), ReduceOp::BitOr), "BitOr combines the bits of whole numbers"),
    (|g| g.all_reduce_coalesced(&mut [], ReduceOp::Sum), "all_reduce_coalesced: there is no tensor"),
    (
        |g| g.all_reduce_coalesced(&mut [kind(Kind::Float), kind(Kind::Double)], ReduceOp::Sum),
        "tensor 1 is Double [2] on Cpu, and tensor 0 is Float [2] on Cpu",
    ),
    (|g| g.reduce(&float(&[2]), 2, ReduceOp::Sum).map(drop), "reduce: root 2 is not in a group of 2"),
    (|g| g.reduce(&kind(Kind::Bool), 0, ReduceOp::Sum).map(drop), "the sum of Bool values"),
    (|g| g.all_gather(&sparse()).map(drop), "all_gather: the tensor is sparse"),
    (|g| g.all_gather_uneven(&float(&[])).map(drop), "all_gather_uneven: the tensor is a single number"),
    (|g| g.gather(&float(&[2]), 2).map(drop), "gather: root 2 is not in a group of 2"),
    (|g| g.scatter(&mut float(&[2]), None, 2), "scatter: root 2 is not in a group of 2"),
    (|g| g.scatter(&mut float(&[2]), None, 0), "root 0 has no list"),
    (|g| g.scatter(&mut float(&[2]), Some(&[float(&[2]), float(&[2])]), 1), "rank 0 has a list, and is not root 1"),
    (|g| g.scatter(&mut float(&[2]), Some(&[float(&[2])]), 0), "1 tensors for a group of 2"),
    (
        |g| g.scatter(&mut float(&[2]), Some(&[float(&[2]), float(&[3])]), 0),
        "tensor 2 is Float [3] on Cpu, and tensor 0 is Float [2]",
    ),
    (|g| g.reduce_scatter(&[float(&[2])], ReduceOp::Sum).map(drop), "1 tensors for a group of 2"),
    (
        |g| g.reduce_scatter(&[float(&[2]), kind(Kind::Double)], ReduceOp::Sum).map(drop),
        "tensor 1 is Double [2] on Cpu, and tensor 0 is Float [2]",
    ),
    (|g| g.reduce_scatter_tensor(&float(&[3]), ReduceOp::Sum).map(drop), "Float [3] cannot be shared out over 2 ranks"),
    (|g| g.reduce_scatter_tensor(&float(&[]), ReduceOp::Sum).map(drop), "is a single number"),
    (|g| g.reduce_scatter_tensor(&kind(Kind::Int64), ReduceOp::Mean).map(drop), "the mean of Int64 values"),
    (|g| g.all_to_all(&float(&[5, 2])).map(drop), "Float [5, 2] cannot be shared out over 2 ranks"),
    (|g| g.all_to_all_uneven(&float(&[2]), &[2], &[2, 0]).map(drop), "1 numbers of rows to send for a group of 2"),
    (|g| g.all_to_all_uneven(&float(&[2]), &[2, 0], &[]).map(drop), "0 numbers of rows to receive for a group of 2"),
    (|g| g.all_to_all_uneven(&float(&[3]), &[2, 0], &[2, 0]).map(drop), "2 rows to send, and the tensor has 3"),
    (|g| g.all_to_all_uneven(&float(&[2]), &[2, 0], &[1, 0]).map(drop), "sends itself 2 rows and receives 1"),
    (|g| g.send(&float(&[2]), 0, 0), "send: receiver 0 is this rank itself"),
    (|g| g.send(&float(&[2]), 2, 0), "receiver 2 is not in a group of 2"),
    (|g| g.recv(&mut float(&[2]), 0, 0), "recv: sender 0 is this rank itself"),
    (|g| g.recv_async(float(&[2]), 1, 1 << 30).map(drop), "tag 1073741824 is too large; choose one below 1073741824"),
    (|g| g.broadcast_object::<u8>(None, 0).map(drop), "root 0 has no value"),
    (|g| g.scatter_object(Some(&[1]), 0).map(drop), "1 values for a group of 2"),
    (|g| g.subgroup(&[]).map(drop), "subgroup: a group has one rank at least"),
    (|g| g.subgroup(&[1, 0, 1]).map(drop), "rank 1 is in the list twice"),
];

#[test]
fn what_cannot_be_right_is_refused() {
    ranks(2, |group| {
        for (call, expected) in CASES {
            if group.rank() == 0 {
                let error = call(&group).unwrap_err();
                assert!(matches!(error, Error::Argument { .. }) && !error.is_peer_failure(), "{error:?}");
                assert!(error.to_string().contains(expected), "`{error}` does not say `{expected}`");
            }
            let mut sum = float(&[2]);
            group.all_reduce(&mut sum, ReduceOp::Sum).unwrap();
            assert_eq!(sum.to_kind(Kind::Int64).int64_value(&[0]), 2);
        }
    });
}

/// Tensors that differ in more than their rows are an error of an uneven all-gather on every rank, with both layouts.
#[test]
fn an_uneven_all_gather_of_other_columns_is_an_error_on_every_rank() {
    for other in [float(&[1, 3]), kind(Kind::Double).view([1, 2]), float(&[2])] {
        let other = std::sync::Mutex::new(other);
        ranks(3, |group| {
            let tensor = if group.rank() == 1 { other.lock().unwrap().copy() } else { float(&[4, 2]) };
            let error = group.all_gather_uneven(&tensor).unwrap_err();
            assert!(matches!(error, Error::Desynchronised { .. }), "{error:?}");
            assert!(error.to_string().contains("rank 0: 4 rows of Float [2]"), "{error}");
            assert!(error.to_string().contains(&format!(
                "rank 1: {} rows of {:?}",
                tensor_rows(&other),
                kind_of(&other)
            )));
            group.barrier().unwrap();
        });
    }
}

fn tensor_rows(tensor: &std::sync::Mutex<Tensor>) -> i64 {
    tensor.lock().unwrap().size()[0]
}

fn kind_of(tensor: &std::sync::Mutex<Tensor>) -> Kind {
    tensor.lock().unwrap().kind()
}

/// A value that serde cannot write, on rank 1.
struct Stubborn(bool);

impl Serialize for Stubborn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 { Err(serde::ser::Error::custom("not today")) } else { serializer.serialize_u8(1) }
    }
}

impl<'de> serde::Deserialize<'de> for Stubborn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(|_| Self(false))
    }
}

/// A value that cannot be written is an error on every rank: serde's words on its own, whose it is on the others. None waits.
#[test]
fn a_value_that_cannot_be_written_is_an_error_on_every_rank() {
    ranks(3, |group| {
        let value = Stubborn(group.rank() == 1);
        let root = group.rank() == 1;
        let list = [Stubborn(false), Stubborn(true), Stubborn(false)];
        let results = [
            group.all_gather_object(&value).map(drop),
            group.gather_object(&value, 0).map(drop),
            group.broadcast_object(root.then_some(&value), 1).map(drop),
            group.scatter_object(root.then_some(&list[..]), 1).map(drop),
        ];
        for result in results {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Object { .. }), "{error:?}");
            let expected = if root { "rank 1's value cannot be written: not today" } else { "its own error says why" };
            assert!(error.to_string().contains(expected), "{error}");
        }
        group.barrier_timeout(Duration::from_secs(30)).unwrap();
    });
}

/// A value of another type is an error that names the rank and the type that was wanted.
#[test]
fn a_value_of_another_type_is_an_error() {
    ranks(2, |group| {
        let error = if group.rank() == 0 {
            group.all_gather_object(&1u8).map(drop).unwrap_err()
        } else {
            group.all_gather_object(&"text".to_owned()).map(drop).unwrap_err()
        };
        let wanted =
            if group.rank() == 0 { "rank 1's value is no u8" } else { "rank 0's value is no alloc::string::String" };
        assert!(error.to_string().contains(wanted), "{error}");
        group.barrier().unwrap();
    });
}
