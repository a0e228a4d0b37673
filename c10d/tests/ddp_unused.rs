//! Parameters that a pass leaves out: named by their paths, whatever gradients go through and however they are looked for.

mod common;

use std::path::Path;
use std::rc::Rc;

use common::{PATIENCE, join, ranks};
use tch::{Kind, Tensor};
use trainloop_c10d::{Compression, DdpOptions, DistributedDataParallel, Error, ProcessGroup, ReduceOp, aten};

const NAMES: [&str; 3] = ["encoder.weight", "encoder.bias", "head.weight"];

/// What buckets go through.
#[derive(Debug, Clone, Copy)]
enum Way {
    Plain,
    Compressed(Compression),
    Hook,
}

const WAYS: [Way; 4] = [Way::Plain, Way::Compressed(Compression::Fp16), Way::Compressed(Compression::Bf16), Way::Hook];

/// A model of two ranks; `folder` is where the group of a hook meets.
fn model(group: ProcessGroup, way: Way, options: DdpOptions, folder: &Path) -> (DistributedDataParallel, Vec<Tensor>) {
    let rank = group.rank();
    let compression = if let Way::Compressed(compression) = way { Some(compression) } else { None };
    let tensors: Vec<Tensor> =
        NAMES.iter().map(|_| Tensor::ones([4], tch::kind::FLOAT_CPU).set_requires_grad(true)).collect();
    let named: Vec<(String, Tensor)> =
        NAMES.iter().zip(&tensors).map(|(name, tensor)| ((*name).to_owned(), tensor.shallow_clone())).collect();
    let options = DdpOptions { compression, ..options };
    let ddp = DistributedDataParallel::new(Rc::new(group), &named, Vec::new(), options).unwrap();
    if matches!(way, Way::Hook) {
        let own = join(folder, rank, 2, PATIENCE);
        ddp.set_hook(move |bucket| {
            let mut mean = bucket.gradients;
            own.all_reduce(&mut mean, ReduceOp::Mean).map(|()| mean)
        })
        .unwrap();
    }
    (ddp, tensors)
}

/// A pass that returns the sum of each of `used`, and has a loss of the first `in_loss` of them.
fn pass(ddp: &DistributedDataParallel, used: &[Tensor], in_loss: usize) -> Result<(), Error> {
    ddp.before_forward()?;
    let outputs: Vec<Tensor> = used.iter().map(|tensor| tensor.sum(Kind::Float)).collect();
    ddp.after_forward(&outputs)?;
    Tensor::stack(&outputs[..in_loss], 0).sum(Kind::Float).f_backward().unwrap();
    Ok(())
}

fn clear(parameters: &[Tensor]) {
    for tensor in parameters {
        aten::clear_grad(tensor).unwrap();
    }
}

/// Every kind of pass, with each way in one bucket and in several.
fn for_all(options: DdpOptions, run: impl Fn(usize, &DistributedDataParallel, &[Tensor], &str) + Sync) {
    for way in WAYS {
        for bucket_bytes in [4, 1 << 20] {
            for gradient_as_bucket_view in [false, true] {
                let options =
                    DdpOptions { first_bucket_bytes: bucket_bytes, bucket_bytes, gradient_as_bucket_view, ..options };
                let folder = tempfile::tempdir().unwrap();
                ranks(2, |group| {
                    let rank = group.rank();
                    let (ddp, parameters) = model(group, way, options, folder.path());
                    run(rank, &ddp, &parameters, &format!("{way:?}, {options:?}"));
                });
            }
        }
    }
}

fn assert_names(error: &Error, unused: &[&str], case: &str) -> String {
    let text = error.to_string();
    for name in NAMES {
        assert_eq!(text.contains(&format!("`{name}`")), unused.contains(&name), "{case}: {text}");
    }
    assert!(!text.contains("torch.nn") && !text.contains("TORCH_DISTRIBUTED_DEBUG"), "{case}: {text}");
    text
}

#[test]
fn an_unused_parameter_is_named_whatever_gradients_go_through() {
    for_all(DdpOptions::default(), |_, ddp, parameters, case| {
        pass(ddp, parameters, 3).unwrap();
        pass(ddp, &parameters[1..], 2).unwrap();
        let error = pass(ddp, parameters, 3).unwrap_err();
        let text = assert_names(&error, &["encoder.weight"], case);
        assert!(text.contains("set `DdpOptions::find_unused_parameters`"), "{case}: {text}");
    });
}

/// Nobody's use leaves no gradient; one rank's use is divided by both.
#[test]
fn unused_parameters_are_found_whatever_gradients_go_through() {
    let options = DdpOptions { find_unused_parameters: true, ..DdpOptions::default() };
    for_all(options, |rank, ddp, parameters, case| {
        for _ in 0..2 {
            pass(ddp, &parameters[1..], 2).unwrap();
            for tensor in &parameters[1..] {
                assert_eq!(Vec::<f32>::try_from(tensor.grad()).unwrap(), [1.0; 4], "{case}");
            }
            assert!(!parameters[0].grad().defined(), "{case}: {:?}", parameters[0].grad());
            clear(parameters);
            let used = if rank == 0 { parameters } else { &parameters[1..] };
            pass(ddp, used, used.len()).unwrap();
            assert_eq!(Vec::<f32>::try_from(parameters[0].grad()).unwrap(), [0.5; 4], "{case}");
            clear(parameters);
        }
    });
}

/// An output that is not in the loss: to look for unused parameters is no mend, for it is done already.
#[test]
fn an_output_beside_the_loss_names_its_parameters() {
    let options = DdpOptions { find_unused_parameters: true, ..DdpOptions::default() };
    for_all(options, |_, ddp, parameters, case| {
        pass(ddp, parameters, 2).unwrap();
        let error = pass(ddp, parameters, 3).unwrap_err();
        let text = assert_names(&error, &["head.weight"], case);
        assert!(text.contains("output") && !text.contains("set `DdpOptions"), "{case}: {text}");
    });
}

/// What a static graph's first pass used and a later one does not.
#[test]
fn a_static_graph_that_changes_names_what_is_left_out() {
    let options = DdpOptions { static_graph: true, ..DdpOptions::default() };
    for_all(options, |_, ddp, parameters, case| {
        for _ in 0..2 {
            pass(ddp, &parameters[..2], 2).unwrap();
            assert!(!parameters[2].grad().defined(), "{case}");
            clear(parameters);
        }
        pass(ddp, &parameters[..1], 1).unwrap();
        let error = pass(ddp, parameters, 3).unwrap_err();
        let text = assert_names(&error, &["encoder.bias"], case);
        assert!(text.contains("`DdpOptions::static_graph`"), "{case}: {text}");
    });
}
