//! `DistributedDataParallel` over ranks that are threads: equal parameters, mean gradients, buckets, what it refuses.

mod common;

use std::rc::Rc;

use common::ranks;
use tch::{Kind, Tensor};
use trainloop_c10d::{DdpOptions, DistributedDataParallel, Error, ProcessGroup, aten};

/// Parameters `p0`, `p1`, … of these lengths; rank r's hold r + 1.
fn parameters(rank: usize, lengths: &[i64]) -> Vec<(String, Tensor)> {
    let filled = |&length| Tensor::full([length], rank as f64 + 1.0, tch::kind::DOUBLE_CPU).set_requires_grad(true);
    lengths.iter().map(filled).enumerate().map(|(index, tensor)| (format!("p{index}"), tensor)).collect()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// One forward and backward pass: the loss is the sum of all used parameters, times a factor.
fn pass(ddp: &DistributedDataParallel, used: &[(String, Tensor)], factor: f64) -> Result<(), Error> {
    ddp.before_forward()?;
    let sums: Vec<Tensor> = used.iter().map(|(_, tensor)| tensor.sum(Kind::Double)).collect();
    let loss = Tensor::stack(&sums, 0).sum(Kind::Double) * factor;
    ddp.after_forward([&loss])?;
    loss.f_backward().unwrap();
    Ok(())
}

fn clear(parameters: &[(String, Tensor)]) {
    for (_, tensor) in parameters {
        aten::clear_grad(tensor).unwrap();
    }
}

fn new(
    group: ProcessGroup,
    parameters: &[(String, Tensor)],
    options: DdpOptions,
) -> Result<DistributedDataParallel, Error> {
    DistributedDataParallel::new(Rc::new(group), parameters, Vec::new(), options)
}

/// Every rank begins with rank 0's parameters and buffers, whole-numbered ones too.
#[test]
fn all_ranks_begin_with_rank_0s_values() {
    for world_size in [1, 2, 3] {
        ranks(world_size, |group| {
            let rank = group.rank() as i64;
            let parameters = parameters(group.rank(), &[3, 1]);
            let buffers = [Tensor::from_slice(&[rank as f32 + 5.0]), Tensor::from_slice(&[rank + 7, rank])];
            let handles = buffers.iter().map(Tensor::shallow_clone).collect();
            let ddp =
                DistributedDataParallel::new(Rc::new(group), &parameters, handles, DdpOptions::default()).unwrap();
            assert_eq!((flat(&parameters[0].1), flat(&parameters[1].1)), (vec![1.0; 3], vec![1.0]));
            assert_eq!((flat(&buffers[0]), flat(&buffers[1])), (vec![5.0], vec![7.0, 0.0]));
            drop(ddp);
        });
    }
}

/// Gradients are the mean over ranks, pass after pass, in one bucket and in several, copied and as views.
#[test]
fn gradients_are_the_mean() {
    let lengths = [100, 7, 50, 1];
    let default = DdpOptions::default();
    let tiny = DdpOptions { first_bucket_bytes: 8, bucket_bytes: 8, ..default };
    let pairs = DdpOptions { first_bucket_bytes: 400, bucket_bytes: 400, ..default };
    let unused = DdpOptions { find_unused_parameters: true, ..tiny };
    // 800, 56, 400 and 8 bytes, put together from the last, which is ready first; the same in every pass.
    for (options, buckets) in [(default, 1), (tiny, 4), (pairs, 2), (unused, 4)] {
        for gradient_as_bucket_view in [false, true] {
            let options = DdpOptions { gradient_as_bucket_view, ..options };
            for world_size in [1, 2, 3] {
                ranks(world_size, |group| {
                    let rank = group.rank() as f64;
                    let parameters = parameters(group.rank(), &lengths);
                    let ddp = new(group, &parameters, options).unwrap();
                    for round in 1..=3 {
                        pass(&ddp, &parameters, (rank + 1.0) * f64::from(round)).unwrap();
                        let mean = f64::midpoint(world_size as f64, 1.0) * f64::from(round);
                        for (name, tensor) in &parameters {
                            let gradient = flat(&tensor.grad());
                            assert!(gradient.iter().all(|value| (value - mean).abs() < 1e-14), "{name}: {gradient:?}");
                        }
                        assert_eq!(ddp.bucket_count().unwrap(), buckets, "{options:?} in round {round}");
                        clear(&parameters);
                    }
                });
            }
        }
    }
}

/// With views the gradients of a bucket lie side by side in its memory, and zeroing them in place is enough.
#[test]
fn gradients_as_views_lie_in_the_bucket() {
    ranks(2, |group| {
        let rank = group.rank() as f64;
        let parameters = parameters(group.rank(), &[4, 4]);
        let options = DdpOptions { gradient_as_bucket_view: true, ..DdpOptions::default() };
        let ddp = new(group, &parameters, options).unwrap();
        for _ in 0..3 {
            pass(&ddp, &parameters, 2.0 * rank + 1.0).unwrap();
            let address = |index: usize| parameters[index].1.grad().data_ptr().addr();
            assert_eq!(address(0).abs_diff(address(1)), 4 * 8);
            for (_, tensor) in &parameters {
                assert_eq!(flat(&tensor.grad()), [2.0; 4]);
                let _ = tensor.grad().zero_();
            }
        }
    });
}

/// An unused parameter is an error of the next pass that names it and says what to set; the used ones are not named.
#[test]
fn an_unused_parameter_is_an_error_that_names_it() {
    ranks(2, |group| {
        let parameters = parameters(group.rank(), &[3, 3, 3]);
        let ddp = new(group, &parameters, DdpOptions::default()).unwrap();
        pass(&ddp, &parameters[..1], 1.0).unwrap();
        let error = pass(&ddp, &parameters, 1.0).unwrap_err();
        assert!(matches!(error, Error::Torch { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("`p1`, `p2`") && !text.contains("`p0`"), "{text}");
        assert!(text.contains("find_unused_parameters") && !text.contains("torch.nn"), "{text}");
        assert!(!error.is_peer_failure());
    });
}

/// With `find_unused_parameters` a parameter may be left out on all ranks, or on some: then it has the mean over all.
#[test]
fn unused_parameters_are_found() {
    ranks(2, |group| {
        let rank = group.rank();
        let parameters = parameters(rank, &[3, 3]);
        let options = DdpOptions { find_unused_parameters: true, ..DdpOptions::default() };
        let ddp = new(group, &parameters, options).unwrap();
        for _ in 0..2 {
            pass(&ddp, &parameters[..1], 4.0).unwrap();
            assert_eq!(flat(&parameters[0].1.grad()), [4.0; 3]);
            assert!(!parameters[1].1.grad().defined(), "nobody used it");
            clear(&parameters);
        }
        let used = if rank == 0 { &parameters[..] } else { &parameters[..1] };
        pass(&ddp, used, 4.0).unwrap();
        assert_eq!(flat(&parameters[1].1.grad()), [2.0; 3]);
    });
}

/// Rank 0's buffers are everyone's before each forward pass that is recorded; not inside `no_grad`, nor where it is off.
#[test]
fn buffers_are_broadcast_before_a_pass() {
    for broadcast_buffers in [true, false] {
        ranks(2, |group| {
            let rank = group.rank() as f64;
            let parameters = parameters(group.rank(), &[3]);
            let mut buffer = Tensor::from_slice(&[0.0]);
            let options = DdpOptions { broadcast_buffers, ..DdpOptions::default() };
            let ddp = DistributedDataParallel::new(Rc::new(group), &parameters, vec![buffer.shallow_clone()], options)
                .unwrap();
            for round in [10.0, 20.0] {
                let own = round + rank;
                let _ = buffer.fill_(own);
                tch::no_grad(|| ddp.before_forward()).unwrap();
                assert_eq!(flat(&buffer), [own]);
                pass(&ddp, &parameters, 1.0).unwrap();
                assert_eq!(flat(&buffer), [if broadcast_buffers { round } else { own }]);
                clear(&parameters);
            }
        });
    }
}

/// Makes a model's parameters and buffers.
type Build<'a> = &'a (dyn Fn() -> (Vec<(String, Tensor)>, Vec<Tensor>) + Sync);

/// Models that differ between ranks, in number, name, shape or dtype of parameters or buffers, are an error on every rank
/// before anything is broadcast, and the rank that differs says in what.
#[test]
fn models_that_differ_are_refused_on_every_rank() {
    let named = |name: &str, shape: &[i64], kind| (name.to_owned(), Tensor::zeros(shape, (kind, tch::Device::Cpu)));
    let model = |name: &str, shape: &[i64], kind| vec![named("same", &[2], Kind::Float), named(name, shape, kind)];
    let plain: Build<'_> = &|| (model("x", &[2, 3], Kind::Float), Vec::new());
    let others: [(Build<'_>, &str); 7] = [
        (&|| (vec![named("same", &[2], Kind::Float)], Vec::new()), "`x`"),
        (&|| (model("y", &[2, 3], Kind::Float), Vec::new()), "`y`"),
        (&|| (model("x", &[3, 2], Kind::Float), Vec::new()), "[3, 2]"),
        (&|| (model("x", &[2, 4], Kind::Float), Vec::new()), "[2, 4]"),
        (&|| (model("x", &[2, 3], Kind::Double), Vec::new()), "Double"),
        (&|| (model("x", &[2, 3], Kind::Float), vec![Tensor::zeros([1], tch::kind::FLOAT_CPU)]), "buffer"),
        (
            &|| {
                let (mut parameters, none) = (model("x", &[2, 3], Kind::Float), Vec::new());
                parameters.push(named("z", &[1], Kind::Float));
                (parameters, none)
            },
            "`z`",
        ),
    ];
    for (other, difference) in others {
        let errors = ranks(3, |group| {
            let (parameters, buffers) = if group.rank() == 2 { other() } else { plain() };
            let parameters: Vec<_> =
                parameters.into_iter().map(|(name, tensor)| (name, tensor.set_requires_grad(true))).collect();
            DistributedDataParallel::new(Rc::new(group), &parameters, buffers, DdpOptions::default()).unwrap_err()
        });
        for error in &errors {
            assert!(matches!(error, Error::Argument { operation: "DistributedDataParallel::new", .. }), "{error:?}");
            assert!(error.to_string().contains("rank 2"), "{error}");
        }
        assert!(errors[2].to_string().contains(difference), "{} does not say {difference}", errors[2]);
    }
}

/// A model without a trainable parameter, and a bucket without a size, are refused before any collective.
#[test]
fn what_cannot_be_averaged_is_refused() {
    ranks(1, |group| {
        let error = new(group, &[], DdpOptions::default()).unwrap_err();
        assert!(error.to_string().contains("no trainable parameter"), "{error}");
    });
    for (first_bucket_bytes, bucket_bytes) in [(0, 1), (1, 0)] {
        ranks(1, |group| {
            let options = DdpOptions { first_bucket_bytes, bucket_bytes, ..DdpOptions::default() };
            let error = new(group, &parameters(0, &[1]), options).unwrap_err();
            assert!(matches!(error, Error::Argument { .. }) && error.to_string().contains("0 bytes"), "{error:?}");
        });
    }
}

/// After the wrapper has gone a backward pass is the rank's own again.
#[test]
fn dropping_it_takes_the_hooks_off() {
    ranks(2, |group| {
        let rank = group.rank() as f64;
        let parameters = parameters(group.rank(), &[3]);
        let ddp = new(group, &parameters, DdpOptions::default()).unwrap();
        pass(&ddp, &parameters, rank).unwrap();
        assert_eq!(flat(&parameters[0].1.grad()), [0.5; 3]);
        drop(ddp);
        clear(&parameters);
        (parameters[0].1.sum(Kind::Double) * rank).backward();
        assert_eq!(flat(&parameters[0].1.grad()), [rank; 3]);
    });
}
