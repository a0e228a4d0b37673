//! A sum over ranks through which gradients go.

mod common;

use common::ranks;
use tch::{Kind, Tensor};
use trainloop_c10d::{Error, ReduceOp};

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// The derivative of all ranks' losses together, against one by hand: with s = Σ x², rank r's loss is (r + 1) s², so that the
/// derivative by each x is Σ (r + 1) · 2s · 2x.
#[test]
fn gradients_are_those_of_all_ranks_losses() {
    for world_size in [1, 2, 3] {
        ranks(world_size, |group| {
            let rank = group.rank() as f64;
            let inputs = Tensor::from_slice(&[rank + 1.0, -2.0]).set_requires_grad(true);
            let sum = group.all_reduce_with_grad(&inputs.square().sum(None)).unwrap();
            let all = 0..world_size;
            let expected: f64 = all.clone().map(|rank| (rank as f64 + 1.0).powi(2) + 4.0).sum();
            assert_eq!(numbers(&sum), [expected]);
            (sum.square() * (rank + 1.0)).backward();
            let factor = all.map(|rank| rank as f64 + 1.0).sum::<f64>() * 2.0 * expected * 2.0;
            assert_eq!(numbers(&inputs.grad()), [factor * (rank + 1.0), factor * -2.0]);
        });
    }
}

/// Where no gradient is asked for there is no graph, and the input stays as it was.
#[test]
fn without_gradients_it_is_a_plain_sum() {
    ranks(2, |group| {
        let inputs = Tensor::from_slice(&[1.0_f32, 2.0]);
        let sum = group.all_reduce_with_grad(&inputs).unwrap();
        assert_eq!((numbers(&sum), numbers(&inputs)), (vec![2.0, 4.0], vec![1.0, 2.0]));
        assert!(!sum.requires_grad());
        let inputs = inputs.set_requires_grad(true);
        let sum = tch::no_grad(|| group.all_reduce_with_grad(&inputs)).unwrap();
        assert!(!sum.requires_grad());
        // A transposed one, which is not contiguous.
        let matrix = Tensor::arange(6, (Kind::Double, tch::Device::Cpu)).view([2, 3]).set_requires_grad(true);
        let sum = group.all_reduce_with_grad(&matrix.tr()).unwrap();
        assert_eq!(numbers(&sum), [0.0, 6.0, 2.0, 8.0, 4.0, 10.0]);
        (sum * Tensor::from_slice(&[1.0, 10.0])).sum(None).backward();
        assert_eq!(numbers(&matrix.grad()), [2.0, 2.0, 2.0, 20.0, 20.0, 20.0]);
    });
}

/// A rank whose loss weighs nothing still takes part in the backward pass.
#[test]
fn a_rank_without_a_part_takes_part() {
    ranks(2, |group| {
        let inputs = Tensor::from_slice(&[3.0]).set_requires_grad(true);
        let sum = group.all_reduce_with_grad(&inputs).unwrap();
        let loss = if group.rank() == 0 { sum.square() } else { &sum * 0.0 };
        loss.sum(None).backward();
        assert_eq!(numbers(&inputs.grad()), [12.0]);
    });
}

#[test]
fn whole_numbers_are_refused() {
    ranks(1, |group| {
        let error = group.all_reduce_with_grad(&Tensor::from_slice(&[1_i64])).unwrap_err();
        assert!(matches!(error, Error::Argument { operation: "all_reduce_with_grad", .. }), "{error}");
        let mut tensor = Tensor::from_slice(&[1_i64]);
        group.all_reduce(&mut tensor, ReduceOp::Sum).unwrap();
    });
}
