//! What each collective gives, in its blocking form and in the background: the same checks over ranks that are threads and
//! over ranks that are processes, 1 to 4 of them.

mod common;

use std::collections::BTreeMap;

use common::process::{assert_passed, place, run};
use common::{PATIENCE, join, ranks};
use serde::{Deserialize, Serialize};
use tch::{Device, IndexOp, Kind, Tensor};
use trainloop_c10d::{ProcessGroup, ReduceOp};

/// Those that Gloo knows, and some that it does not and that are moved as bytes.
const KINDS: [Kind; 9] = [
    Kind::Float,
    Kind::Double,
    Kind::Half,
    Kind::Int64,
    Kind::Uint8,
    Kind::Bool,
    Kind::Int16,
    Kind::ComplexFloat,
    Kind::Float8e5m2,
];

type Check = fn(&ProcessGroup);

const CHECKS: [(&str, Check); 13] = [
    ("broadcast", broadcast),
    ("all_reduce", all_reduce),
    ("all_reduce_coalesced", all_reduce_coalesced),
    ("reduce", reduce),
    ("all_gather", all_gather),
    ("all_gather_uneven", all_gather_uneven),
    ("gather", gather),
    ("scatter", scatter),
    ("reduce_scatter", reduce_scatter),
    ("all_to_all", all_to_all),
    ("all_to_all_uneven", all_to_all_uneven),
    ("send and recv", send_and_recv),
    ("objects", objects),
];

#[test]
fn over_threads() {
    for world_size in 1..=4 {
        ranks(world_size, |group| every_check(&group));
    }
}

#[test]
fn over_processes() {
    if let Some((rank, folder)) = place() {
        let world_size = folder.file_name().unwrap().to_str().unwrap().parse().unwrap();
        every_check(&join(&folder, rank, world_size, PATIENCE));
        return;
    }
    for world_size in 1..=4 {
        run("over_processes", world_size).iter().for_each(assert_passed);
    }
}

fn every_check(group: &ProcessGroup) {
    for (name, check) in CHECKS {
        println!("rank {} of {}: {name}", group.rank(), group.world_size());
        check(group);
    }
}

/// Rank r's tensor of this shape: small numbers that differ from rank to rank and from place to place.
fn of(rank: usize, shape: &[i64], kind: Kind) -> Tensor {
    let count = shape.iter().product::<i64>();
    let numbers = Tensor::arange(count, (Kind::Int64, Device::Cpu)) + (rank as i64 * 7);
    numbers.remainder(32).to_kind(kind).view(shape)
}

/// Equal in kind, shape and every byte.
fn assert_same(found: &Tensor, expected: &Tensor) {
    assert_eq!((found.kind(), found.size()), (expected.kind(), expected.size()));
    let bytes = |tensor: &Tensor| Vec::<u8>::try_from(tensor.contiguous().view(-1).view_dtype(Kind::Uint8)).unwrap();
    assert_eq!(bytes(found), bytes(expected));
}

fn shapes() -> [Vec<i64>; 4] {
    [vec![3], vec![2, 5], vec![], vec![0, 2]]
}

/// Kinds and shapes, for what moves anything.
fn each_kind(mut check: impl FnMut(&[i64], Kind)) {
    for kind in KINDS {
        for shape in shapes() {
            check(&shape, kind);
        }
    }
}

fn broadcast(group: &ProcessGroup) {
    each_kind(|shape, kind| {
        for root in 0..group.world_size() {
            let expected = of(root, shape, kind);
            let mut tensor = of(group.rank(), shape, kind);
            group.broadcast(&mut tensor, root).unwrap();
            assert_same(&tensor, &expected);
            let work = group.broadcast_async(of(group.rank(), shape, kind), root).unwrap();
            assert_same(&work.wait().unwrap(), &expected);
        }
    });
}

/// What `op` makes of all ranks' tensors, by arithmetic that is not Gloo's.
fn combined(op: ReduceOp, tensors: &[Tensor]) -> Tensor {
    let kind = tensors[0].kind();
    let wide = if tensors[0].is_floating_point() { Kind::Double } else { kind };
    let tensors: Vec<Tensor> = tensors.iter().map(|tensor| tensor.to_kind(wide)).collect();
    let (first, rest) = tensors.split_first().unwrap();
    let result = rest.iter().fold(first.copy(), |sum, tensor| match op {
        ReduceOp::Sum | ReduceOp::Mean => sum + tensor,
        ReduceOp::Product => sum * tensor,
        ReduceOp::Min => sum.minimum(tensor),
        ReduceOp::Max => sum.maximum(tensor),
        ReduceOp::BitAnd => sum.bitwise_and_tensor(tensor),
        ReduceOp::BitOr => sum.bitwise_or_tensor(tensor),
        ReduceOp::BitXor => sum.bitwise_xor_tensor(tensor),
    });
    let result = if op == ReduceOp::Mean { result / tensors.len() as f64 } else { result };
    result.to_kind(kind)
}

fn assert_close(found: &Tensor, expected: &Tensor) {
    assert_eq!((found.kind(), found.size()), (expected.kind(), expected.size()));
    let relative = if expected.kind() == Kind::BFloat16 { 1e-2 } else { 2e-3 };
    let (found, expected) = (found.to_kind(Kind::Double), expected.to_kind(Kind::Double));
    assert!(found.allclose(&expected, relative, 1e-9, false), "{found:?} is not {expected:?}");
}

/// Every operation over every kind that it goes with.
fn each_op(mut check: impl FnMut(ReduceOp, Kind)) {
    let any = [ReduceOp::Product, ReduceOp::Min, ReduceOp::Max];
    let bits = [ReduceOp::BitAnd, ReduceOp::BitOr, ReduceOp::BitXor];
    for kind in [Kind::Float, Kind::Double, Kind::Half, Kind::BFloat16] {
        any.into_iter().chain([ReduceOp::Sum, ReduceOp::Mean]).for_each(|op| check(op, kind));
    }
    for kind in [Kind::Int8, Kind::Uint8, Kind::Int, Kind::Int64] {
        any.into_iter().chain(bits).chain([ReduceOp::Sum]).for_each(|op| check(op, kind));
    }
    bits.into_iter().chain([ReduceOp::Min, ReduceOp::Max]).for_each(|op| check(op, Kind::Bool));
}

/// Factors that even half precision and eight bits can multiply four of.
fn factors(rank: usize, shape: &[i64], kind: Kind) -> Tensor {
    let count = shape.iter().product::<i64>();
    let numbers = Tensor::arange(count, (Kind::Int64, Device::Cpu)) + rank as i64;
    numbers.remainder(3).to_kind(kind).view(shape)
}

fn all_factors(group: &ProcessGroup, shape: &[i64], kind: Kind) -> Vec<Tensor> {
    (0..group.world_size()).map(|rank| factors(rank, shape, kind)).collect()
}

fn all_reduce(group: &ProcessGroup) {
    each_op(|op, kind| {
        for shape in shapes() {
            let all = all_factors(group, &shape, kind);
            let expected = combined(op, &all);
            let mut tensor = all[group.rank()].copy();
            group.all_reduce(&mut tensor, op).unwrap();
            assert_close(&tensor, &expected);
            let work = group.all_reduce_async(all[group.rank()].shallow_clone(), op).unwrap();
            assert_close(&work.wait().unwrap(), &expected);
            assert_same(&all[group.rank()], &factors(group.rank(), &shape, kind));
        }
    });
}

fn all_reduce_coalesced(group: &ProcessGroup) {
    each_op(|op, kind| {
        let own = || shapes().iter().map(|shape| factors(group.rank(), shape, kind)).collect::<Vec<_>>();
        let mut tensors = own();
        group.all_reduce_coalesced(&mut tensors, op).unwrap();
        let later = group.all_reduce_coalesced_async(own(), op).unwrap().wait().unwrap();
        for ((tensor, later), shape) in tensors.iter().zip(&later).zip(shapes()) {
            let expected = combined(op, &all_factors(group, &shape, kind));
            assert_close(tensor, &expected);
            assert_close(later, &expected);
        }
    });
    // Of a view only the view changes.
    let whole = Tensor::ones([2, 3], tch::kind::FLOAT_CPU);
    group.all_reduce_coalesced(&mut [whole.i((.., 1)), whole.i((.., 2))], ReduceOp::Sum).unwrap();
    let sum = group.world_size() as f32;
    assert_same(&whole, &Tensor::from_slice(&[1.0f32, sum, sum, 1.0, sum, sum]).view([2, 3]));
}

fn reduce(group: &ProcessGroup) {
    each_op(|op, kind| {
        let root = group.world_size() - 1;
        for shape in shapes() {
            let all = all_factors(group, &shape, kind);
            let tensor = all[group.rank()].copy();
            let found = group.reduce(&tensor, root, op).unwrap();
            assert_same(&tensor, &all[group.rank()]);
            let later = group.reduce_async(tensor, root, op).unwrap().wait().unwrap();
            assert_eq!((found.is_some(), later.is_some()), (group.rank() == root, group.rank() == root));
            for found in [found, later].iter().flatten() {
                assert_close(found, &combined(op, &all));
            }
        }
    });
}

fn all_gather(group: &ProcessGroup) {
    each_kind(|shape, kind| {
        let all: Vec<Tensor> = (0..group.world_size()).map(|rank| of(rank, shape, kind)).collect();
        let own = || of(group.rank(), shape, kind);
        let found = group.all_gather(&own()).unwrap();
        let later = group.all_gather_async(own()).unwrap().wait().unwrap();
        assert_eq!((found.len(), later.len()), (all.len(), all.len()));
        for (expected, (found, later)) in all.iter().zip(found.iter().zip(&later)) {
            assert_same(found, expected);
            assert_same(later, expected);
        }
        let joined = if shape.is_empty() { stack(&all) } else { cat(&all) };
        assert_same(&group.all_gather_into_tensor(&own()).unwrap(), &joined);
        assert_same(&group.all_gather_into_tensor_async(own()).unwrap().wait().unwrap(), &joined);
    });
}

/// libtorch cannot put all kinds one after the other; bytes it can.
fn cat(all: &[Tensor]) -> Tensor {
    if all[0].numel() == 0 {
        let mut shape = all[0].size();
        shape[0] *= all.len() as i64;
        return Tensor::empty(shape, (all[0].kind(), Device::Cpu));
    }
    let bytes: Vec<Tensor> = all.iter().map(|tensor| tensor.contiguous().view_dtype(Kind::Uint8)).collect();
    Tensor::cat(&bytes, 0).view_dtype(all[0].kind())
}

fn stack(all: &[Tensor]) -> Tensor {
    cat(&all.iter().map(|tensor| tensor.unsqueeze(0)).collect::<Vec<_>>())
}

fn all_gather_uneven(group: &ProcessGroup) {
    for kind in KINDS {
        for (first, columns) in [(0, 2), (1, 1), (3, 0)] {
            // Rank 0 has `first` rows, each further rank two more.
            let tensor = |rank: usize| of(rank, &[first + 2 * rank as i64, columns], kind);
            let found = group.all_gather_uneven(&tensor(group.rank())).unwrap();
            let later = group.all_gather_uneven_async(tensor(group.rank())).unwrap().wait().unwrap();
            assert_eq!((found.len(), later.len()), (group.world_size(), group.world_size()));
            for (rank, (found, later)) in found.iter().zip(&later).enumerate() {
                assert_same(found, &tensor(rank));
                assert_same(later, &tensor(rank));
            }
        }
    }
}

fn gather(group: &ProcessGroup) {
    each_kind(|shape, kind| {
        for root in [0, group.world_size() - 1] {
            let found = group.gather(&of(group.rank(), shape, kind), root).unwrap();
            let later = group.gather_async(of(group.rank(), shape, kind), root).unwrap().wait().unwrap();
            assert_eq!((found.is_some(), later.is_some()), (group.rank() == root, group.rank() == root));
            for found in [found, later].into_iter().flatten() {
                assert_eq!(found.len(), group.world_size());
                found.iter().enumerate().for_each(|(rank, found)| assert_same(found, &of(rank, shape, kind)));
            }
        }
    });
}

fn scatter(group: &ProcessGroup) {
    each_kind(|shape, kind| {
        for root in [0, group.world_size() - 1] {
            let inputs: Option<Vec<Tensor>> =
                (group.rank() == root).then(|| (0..group.world_size()).map(|rank| of(rank + 3, shape, kind)).collect());
            let output = || Tensor::zeros(shape, (kind, Device::Cpu));
            let mut found = output();
            group.scatter(&mut found, inputs.as_deref(), root).unwrap();
            assert_same(&found, &of(group.rank() + 3, shape, kind));
            let later = group.scatter_async(output(), inputs.as_deref(), root).unwrap().wait().unwrap();
            assert_same(&later, &of(group.rank() + 3, shape, kind));
        }
    });
}

fn reduce_scatter(group: &ProcessGroup) {
    let world_size = group.world_size();
    each_op(|op, kind| {
        for shape in shapes() {
            // What rank `from` has for rank `to`.
            let part = |from: usize, to: usize| factors(from + 2 * to, &shape, kind);
            let inputs: Vec<Tensor> = (0..world_size).map(|to| part(group.rank(), to)).collect();
            let expected = combined(op, &(0..world_size).map(|from| part(from, group.rank())).collect::<Vec<_>>());
            assert_close(&group.reduce_scatter(&inputs, op).unwrap(), &expected);
            assert_close(&group.reduce_scatter_async(&inputs, op).unwrap().wait().unwrap(), &expected);
            for (to, input) in inputs.iter().enumerate() {
                assert_same(input, &part(group.rank(), to));
            }
            if !shape.is_empty() {
                let whole = Tensor::cat(&inputs, 0);
                assert_close(&group.reduce_scatter_tensor(&whole, op).unwrap(), &expected);
                assert_close(&group.reduce_scatter_tensor_async(whole, op).unwrap().wait().unwrap(), &expected);
            }
        }
    });
}

fn all_to_all(group: &ProcessGroup) {
    let world_size = group.world_size();
    for kind in KINDS {
        for shape in [vec![2], vec![1, 3], vec![0, 2]] {
            let part = |from: usize, to: usize| of(from + 5 * to, &shape, kind);
            let input = || cat(&(0..world_size).map(|to| part(group.rank(), to)).collect::<Vec<_>>());
            let expected = cat(&(0..world_size).map(|from| part(from, group.rank())).collect::<Vec<_>>());
            assert_same(&group.all_to_all(&input()).unwrap(), &expected);
            assert_same(&group.all_to_all_async(input()).unwrap().wait().unwrap(), &expected);
        }
    }
}

fn all_to_all_uneven(group: &ProcessGroup) {
    let (rank, world_size) = (group.rank(), group.world_size());
    // Some send nothing to some.
    let rows = |from: usize, to: usize| (from + 2 * to) % 3;
    let send: Vec<usize> = (0..world_size).map(|to| rows(rank, to)).collect();
    let receive: Vec<usize> = (0..world_size).map(|from| rows(from, rank)).collect();
    for kind in KINDS {
        for columns in [vec![], vec![2], vec![2, 2]] {
            let part = |from: usize, to: usize| {
                let shape: Vec<i64> = std::iter::once(rows(from, to) as i64).chain(columns.iter().copied()).collect();
                of(from + 5 * to, &shape, kind)
            };
            let join = |parts: Vec<Tensor>| {
                let count: i64 = parts.iter().map(|part| part.size()[0]).sum();
                let filled: Vec<Tensor> = parts.into_iter().filter(|part| part.numel() > 0).collect();
                if count == 0 {
                    let shape: Vec<i64> = std::iter::once(0).chain(columns.iter().copied()).collect();
                    return Tensor::empty(shape, (kind, Device::Cpu));
                }
                cat(&filled)
            };
            let input = || join((0..world_size).map(|to| part(rank, to)).collect());
            let expected = join((0..world_size).map(|from| part(from, rank)).collect());
            assert_same(&group.all_to_all_uneven(&input(), &send, &receive).unwrap(), &expected);
            let work = group.all_to_all_uneven_async(input(), &send, &receive).unwrap();
            assert_same(&work.wait().unwrap(), &expected);
        }
    }
}

/// Round the ring, blocking and in the background; tags keep messages apart whatever the order.
fn send_and_recv(group: &ProcessGroup) {
    let (rank, world_size) = (group.rank(), group.world_size());
    if world_size == 1 {
        return;
    }
    let (next, before) = ((rank + 1) % world_size, (rank + world_size - 1) % world_size);
    each_kind(|shape, kind| {
        let empty = || Tensor::zeros(shape, (kind, Device::Cpu));
        // Asked for before anybody sends, and in the other order.
        let second = group.recv_async(empty(), before, 2).unwrap();
        let first = group.recv_async(empty(), before, 1).unwrap();
        let one = group.send_async(of(rank, shape, kind), next, 1).unwrap();
        let two = group.send_async(of(rank + 1, shape, kind), next, 2).unwrap();
        assert_same(&first.wait().unwrap(), &of(before, shape, kind));
        assert_same(&second.wait().unwrap(), &of(before + 1, shape, kind));
        one.wait().unwrap();
        two.wait().unwrap();

        let mut tensor = empty();
        if rank == 0 {
            group.send(&of(rank, shape, kind), next, 0).unwrap();
            group.recv(&mut tensor, before, 0).unwrap();
        } else {
            group.recv(&mut tensor, before, 0).unwrap();
            group.send(&of(rank, shape, kind), next, 0).unwrap();
        }
        assert_same(&tensor, &of(before, shape, kind));
    });
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Note {
    Empty,
    Pairs { values: BTreeMap<i32, f64>, text: Option<String> },
}

fn note(rank: usize) -> Note {
    if rank == 2 {
        return Note::Empty;
    }
    let values = (0..10 * rank as i32).map(|key| (key, if key == 3 { f64::INFINITY } else { 0.1 })).collect();
    Note::Pairs { values, text: (rank > 0).then(|| "ключ".repeat(rank)) }
}

fn objects(group: &ProcessGroup) {
    let all: Vec<Note> = (0..group.world_size()).map(note).collect();
    let own = note(group.rank());
    for root in 0..group.world_size() {
        let is_root = group.rank() == root;
        assert_eq!(group.broadcast_object(is_root.then_some(&own), root).unwrap(), all[root]);
        assert_eq!(group.gather_object(&own, root).unwrap(), is_root.then(|| all.clone()));
        assert_eq!(group.scatter_object(is_root.then_some(&all[..]), root).unwrap(), own);
    }
    assert_eq!(group.all_gather_object(&own).unwrap(), all);
    assert_eq!(group.all_gather_object(&()).unwrap().len(), all.len());
}
