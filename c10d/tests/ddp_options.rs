//! What `DistributedDataParallel` can be told besides buckets: passes without a mean, a static graph, compressed gradients,
//! hooks; and what it tells.

mod common;

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{PATIENCE, join, ranks};
use tch::{Kind, Tensor};
use trainloop_c10d::{Compression, DdpOptions, DistributedDataParallel, Error, ProcessGroup, ReduceOp, aten};

/// Three parameters of float32.
fn parameters() -> Vec<(String, Tensor)> {
    let ones = |&length: &i64| Tensor::ones([length], tch::kind::FLOAT_CPU).set_requires_grad(true);
    [4, 2, 3].iter().map(ones).enumerate().map(|(index, tensor)| (format!("p{index}"), tensor)).collect()
}

fn new(group: ProcessGroup, parameters: &[(String, Tensor)], options: DdpOptions) -> DistributedDataParallel {
    DistributedDataParallel::new(Rc::new(group), parameters, Vec::new(), options).unwrap()
}

/// A pass whose gradients are all `factor`.
fn pass(ddp: &DistributedDataParallel, used: &[(String, Tensor)], factor: f64) -> Result<(), String> {
    ddp.before_forward().map_err(|error| error.to_string())?;
    let sums: Vec<Tensor> = used.iter().map(|(_, tensor)| tensor.sum(Kind::Float)).collect();
    let loss = Tensor::stack(&sums, 0).sum(Kind::Float) * factor;
    ddp.after_forward([&loss]).map_err(|error| error.to_string())?;
    loss.f_backward().map_err(|error| error.to_string())
}

/// Each parameter's gradient, which is the same in all its elements.
fn gradients(parameters: &[(String, Tensor)]) -> Vec<f32> {
    let one = |tensor: &Tensor| {
        let values: Vec<f32> = Vec::try_from(tensor.grad()).unwrap();
        assert!(values.iter().all(|value| value.total_cmp(&values[0]).is_eq()), "{values:?}");
        values[0]
    };
    parameters.iter().map(|(_, tensor)| one(tensor)).collect()
}

fn clear(parameters: &[(String, Tensor)]) {
    for (_, tensor) in parameters {
        aten::clear_grad(tensor).unwrap();
    }
}

#[test]
fn gradients_stay_on_their_rank_until_a_pass_is_shared() {
    for gradient_as_bucket_view in [false, true] {
        let options = DdpOptions { gradient_as_bucket_view, ..DdpOptions::default() };
        ranks(2, |group| {
            let rank = group.rank() as f32;
            let parameters = parameters();
            let ddp = new(group, &parameters, options);
            for _ in 0..2 {
                ddp.no_sync(|| {
                    pass(&ddp, &parameters, f64::from(rank) + 1.0).unwrap();
                    pass(&ddp, &parameters, f64::from(rank) + 1.0).unwrap();
                });
                assert_eq!(gradients(&parameters), [2.0 * (rank + 1.0); 3]);
                // The mean of 2 · 1 + 4 and 2 · 2 + 8.
                pass(&ddp, &parameters, 4.0 * (f64::from(rank) + 1.0)).unwrap();
                assert_eq!(gradients(&parameters), [9.0; 3]);
                clear(&parameters);
            }
        });
    }
}

/// A panic inside does not leave passes without a mean.
#[test]
fn after_a_panic_passes_are_shared_again() {
    ranks(2, |group| {
        let rank = group.rank();
        let parameters = parameters();
        let ddp = new(group, &parameters, DdpOptions::default());
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ddp.no_sync(|| panic!("on purpose"))));
        assert!(panic.is_err());
        pass(&ddp, &parameters, rank as f64).unwrap();
        assert_eq!(gradients(&parameters), [0.5; 3]);
    });
}

/// One parameter is never used, and one is used twice in each pass.
#[test]
fn a_static_graph_may_have_unused_and_shared_parameters() {
    let options = DdpOptions { static_graph: true, ..DdpOptions::default() };
    for world_size in [1, 2, 3] {
        ranks(world_size, |group| {
            let rank = group.rank() as f64;
            let parameters = parameters();
            let ddp = new(group, &parameters, options);
            let used =
                [("a".to_owned(), parameters[0].1.shallow_clone()), ("b".to_owned(), parameters[2].1.shallow_clone())];
            for round in 1..=4 {
                ddp.before_forward().unwrap();
                let once = used[0].1.sum(Kind::Float);
                let twice = used[1].1.sum(Kind::Float) + (&used[1].1 * 2.0).sum(Kind::Float);
                let loss = (once + twice) * ((rank + 1.0) * f64::from(round));
                ddp.after_forward([&loss]).unwrap();
                loss.f_backward().unwrap();
                let mean = f32::midpoint(world_size as f32, 1.0) * round as f32;
                assert_eq!(gradients(&used), [mean, 3.0 * mean], "{world_size} ranks, round {round}");
                clear(&parameters);
            }
        });
    }
}

#[test]
fn compressed_gradients_are_rounded_means() {
    // One part in 2^11 and one in 2^8, by half a digit.
    for (compression, precision) in [(Compression::Fp16, 1.0 / 2048.0), (Compression::Bf16, 1.0 / 256.0)] {
        let options = DdpOptions { compression: Some(compression), ..DdpOptions::default() };
        ranks(2, |group| {
            let rank = group.rank() as f64;
            let parameters = parameters();
            let ddp = new(group, &parameters, options);
            for _ in 0..2 {
                let exact = 1.001_f32;
                pass(&ddp, &parameters, f64::from(exact) * 2.0 * rank).unwrap();
                for gradient in gradients(&parameters) {
                    let error = (gradient - exact).abs();
                    assert!(error > 0.0 && error <= precision * exact, "{compression:?}: {gradient}");
                }
                clear(&parameters);
                pass(&ddp, &parameters, rank + 1.0).unwrap();
                assert_eq!(gradients(&parameters), [1.5; 3], "{compression:?}: what has few digits is exact");
                clear(&parameters);
            }
        });
    }
}

/// A hook that adds up over a group of its own, and forgets to divide.
fn summing(
    folder: &Path,
    rank: usize,
    seen: Arc<AtomicUsize>,
) -> impl FnMut(trainloop_c10d::GradBucket) -> Result<Tensor, Error> + Send + use<> {
    let own = join(folder, rank, 2, PATIENCE);
    move |bucket| {
        seen.fetch_add(1, Ordering::Relaxed);
        assert_eq!(bucket.is_last, bucket.index == 2);
        let mut sum = bucket.gradients;
        own.all_reduce(&mut sum, ReduceOp::Sum)?;
        Ok(sum)
    }
}

#[test]
fn a_hook_reduces_every_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let options = DdpOptions { first_bucket_bytes: 4, bucket_bytes: 4, ..DdpOptions::default() };
    ranks(2, |group| {
        let rank = group.rank();
        let parameters = parameters();
        let ddp = new(group, &parameters, options);
        let seen = Arc::new(AtomicUsize::new(0));
        ddp.set_hook(summing(folder.path(), rank, Arc::clone(&seen))).unwrap();
        for round in 1..=3 {
            pass(&ddp, &parameters, rank as f64 + 1.0).unwrap();
            assert_eq!(gradients(&parameters), [3.0; 3]);
            assert_eq!(seen.load(Ordering::Relaxed), 3 * round);
            clear(&parameters);
        }
    });
}

#[test]
fn a_hooks_error_and_panic_are_those_of_the_backward_pass() {
    type Hook = fn(trainloop_c10d::GradBucket) -> Result<Tensor, String>;
    let cases: [(Hook, &str); 3] = [
        (|_| Err("the disk is a banana".to_owned()), "the hook on gradients failed: the disk is a banana"),
        (|_| panic!("the loss is a banana"), "the hook on gradients panicked: the loss is a banana"),
        (|bucket| Ok(bucket.gradients.narrow(0, 0, 1)), "the hook on gradients returned [1]"),
    ];
    for (hook, words) in cases {
        ranks(1, |group| {
            let parameters = parameters();
            let ddp = new(group, &parameters, DdpOptions::default());
            ddp.set_hook(hook).unwrap();
            let error = pass(&ddp, &parameters, 1.0).unwrap_err();
            assert!(error.contains(words), "{error}");
        });
    }
}

#[test]
fn there_is_one_hook() {
    ranks(1, |group| {
        let parameters = parameters();
        let ddp = new(group, &parameters, DdpOptions::default());
        let mean = |bucket: trainloop_c10d::GradBucket| Ok::<_, Error>(bucket.gradients);
        ddp.set_hook(mean).unwrap();
        let error = ddp.set_hook(mean).unwrap_err();
        assert!(matches!(error, Error::Argument { .. }), "{error}");
    });
}

#[test]
fn passes_are_measured() {
    ranks(2, |group| {
        let parameters = parameters();
        let ddp = new(group, &parameters, DdpOptions::default());
        assert_eq!(ddp.statistics().unwrap().forward.as_nanos(), 0);
        for _ in 0..4 {
            pass(&ddp, &parameters, 1.0).unwrap();
        }
        let statistics = ddp.statistics().unwrap();
        assert!(statistics.iterations >= 3, "{statistics:?}");
        for duration in [statistics.forward, statistics.backward, statistics.communication] {
            assert!(!duration.is_zero(), "{statistics:?}");
        }
        assert!(statistics.overlap <= statistics.communication, "{statistics:?}");
    });
}
