//! The functions of libtorch that tch lacks, against plain arithmetic and PyTorch's own permutations.

use serde_json::Value;
use tch::{Device, Kind, Tensor};
use trainloop_c10d::Error;
use trainloop_c10d::aten::{
    AdamStep, SgdStep, clear_grad, foreach_mul, foreach_norm, fused_adam, fused_sgd, is_grad_enabled, is_same, randperm,
};

fn double(values: &[f64]) -> Tensor {
    Tensor::from_slice(values)
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

fn assert_close(found: &Tensor, expected: &[f64]) {
    let found = flat(found);
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14), "{found:?} is not {expected:?}");
}

/// Every shuffled table of one rank in sampler.json is a permutation by PyTorch.
#[test]
fn randperm_is_pytorchs() {
    let file: Value = serde_json::from_str(include_str!("../../runtime/tests/expected/sampler.json")).unwrap();
    let mut compared = 0;
    for case in file["cases"].as_array().unwrap().iter().filter(|case| case["shuffle"] == true && case["world"] == 1) {
        let number = |name: &str| case[name].as_u64().unwrap();
        let expected: Vec<i64> = serde_json::from_value(case["ranks"][0].clone()).unwrap();
        let found = randperm(number("length") as i64, number("seed") + number("epoch")).unwrap();
        assert_eq!((found.kind(), found.size()), (Kind::Int64, vec![expected.len() as i64]));
        assert_eq!(Vec::<i64>::try_from(&found).unwrap(), expected, "{case}");
        compared += 1;
    }
    assert_eq!(compared, 108);
}

/// A permutation neither uses nor moves the global generator; fewer than no things have none.
#[test]
fn randperm_is_a_function_of_its_seed() {
    // A random number of another thread's would disturb the check, and no other test of this file draws one.
    tch::manual_seed(3);
    let expected = flat(&Tensor::rand([4], (Kind::Double, Device::Cpu)));
    tch::manual_seed(3);
    let first = randperm(1000, 8).unwrap();
    assert_eq!(flat(&Tensor::rand([4], (Kind::Double, Device::Cpu))), expected);
    assert!(first.equal(&randperm(1000, 8).unwrap()));
    assert!(!first.equal(&randperm(1000, 9).unwrap()));
    assert!(matches!(randperm(-1, 0), Err(Error::Argument { operation: "randperm", .. })));
}

const SGD: SgdStep = SgdStep {
    lr: 0.1,
    momentum: 0.0,
    dampening: 0.0,
    weight_decay: 0.0,
    nesterov: false,
    maximize: false,
    is_first_step: true,
};

/// A step of SGD is `p -= lr · g`; with momentum the buffer begins as the gradient, and then gathers.
#[test]
fn fused_sgd_steps() {
    let (parameter, gradient, buffer) = (double(&[1.0, -2.0]), double(&[0.5, 4.0]), double(&[f64::NAN, f64::NAN]));
    fused_sgd(&[parameter.shallow_clone()], &[gradient.shallow_clone()], &[], &SGD).unwrap();
    assert_close(&parameter, &[0.95, -2.4]);
    let step = SgdStep { momentum: 0.5, ..SGD };
    let with_buffer = |step: &SgdStep| {
        fused_sgd(&[parameter.shallow_clone()], &[gradient.shallow_clone()], &[buffer.shallow_clone()], step).unwrap();
    };
    with_buffer(&step);
    assert_close(&buffer, &[0.5, 4.0]);
    assert_close(&parameter, &[0.9, -2.8]);
    with_buffer(&SgdStep { is_first_step: false, ..step });
    assert_close(&buffer, &[0.75, 6.0]);
    assert_close(&parameter, &[0.825, -3.4]);
}

const ADAM: AdamStep = AdamStep {
    lr: 0.1,
    beta1: 0.5,
    beta2: 0.75,
    weight_decay: 0.0,
    eps: 0.0,
    amsgrad: false,
    maximize: false,
    decoupled: false,
};

/// The state of one parameter.
struct Adam {
    parameter: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    max: Tensor,
    step: Tensor,
}

impl Adam {
    fn new(values: &[f64]) -> Self {
        let zeros = || double(values).zeros_like();
        let step = Tensor::from_slice(&[1.0_f32]).squeeze();
        Self { parameter: double(values), exp_avg: zeros(), exp_avg_sq: zeros(), max: zeros(), step }
    }

    fn step(&self, gradient: &[f64], options: &AdamStep) {
        let handle = |tensor: &Tensor| [tensor.shallow_clone()];
        let max = if options.amsgrad { vec![self.max.shallow_clone()] } else { Vec::new() };
        let (exp_avg, exp_avg_sq, step) = (handle(&self.exp_avg), handle(&self.exp_avg_sq), handle(&self.step));
        let gradient = [double(gradient)];
        fused_adam(&handle(&self.parameter), &gradient, &exp_avg, &exp_avg_sq, &max, &step, options).unwrap();
    }
}

/// The first step of Adam goes `lr` along the gradient's sign, whatever its size, and fills the running means.
#[test]
fn fused_adam_steps() {
    let adam = Adam::new(&[1.0, -2.0]);
    adam.step(&[0.5, -4.0], &ADAM);
    assert_close(&adam.parameter, &[0.9, -1.9]);
    assert_close(&adam.exp_avg, &[0.25, -2.0]);
    assert_close(&adam.exp_avg_sq, &[0.0625, 4.0]);
    let ascending = Adam::new(&[1.0, -2.0]);
    ascending.step(&[0.5, -4.0], &AdamStep { maximize: true, ..ADAM });
    assert_close(&ascending.parameter, &[1.1, -2.1]);
    let greatest = Adam::new(&[1.0, -2.0]);
    greatest.step(&[0.5, -4.0], &AdamStep { amsgrad: true, ..ADAM });
    assert_close(&greatest.max, &[0.0625, 4.0]);
}

/// Decoupled weight decay is taken from the weights; the other kind is part of the gradient, so of its mean.
#[test]
fn fused_adam_decays_in_two_ways() {
    let options = AdamStep { weight_decay: 0.5, ..ADAM };
    let (coupled, decoupled) = (Adam::new(&[1.0]), Adam::new(&[1.0]));
    coupled.step(&[0.5], &options);
    assert_close(&coupled.exp_avg, &[0.5]);
    assert_close(&coupled.parameter, &[0.9]);
    decoupled.step(&[0.5], &AdamStep { decoupled: true, ..options });
    assert_close(&decoupled.exp_avg, &[0.25]);
    assert_close(&decoupled.parameter, &[1.0 - 0.1 * 0.5 - 0.1]);
}

/// Lists of different lengths are refused before the call; shapes that do not fit by libtorch, as an error.
#[test]
fn fused_steps_refuse_what_does_not_fit() {
    let one = || vec![double(&[1.0])];
    let argument = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Argument { .. }), "{error:?}");
    };
    argument(fused_sgd(&one(), &[], &[], &SGD));
    argument(fused_sgd(&one(), &one(), &one(), &SGD));
    argument(fused_sgd(&one(), &one(), &[], &SgdStep { momentum: 0.9, ..SGD }));
    argument(fused_adam(&one(), &one(), &one(), &one(), &one(), &one(), &ADAM));
    argument(fused_adam(&one(), &one(), &one(), &one(), &[], &[], &ADAM));
}

/// The kernels walk memory without a look at shapes, so a tensor that is not laid out as its parameter is refused: a
/// shorter or longer one, another dtype, a transposed or an expanded one.
#[test]
fn fused_steps_refuse_other_layouts() {
    let parameter = || vec![double(&[1.0, 2.0, 3.0, 4.0]).view([2, 2])];
    let others = [
        double(&[1.0]),
        double(&[1.0; 6]).view([3, 2]),
        double(&[1.0; 4]),
        Tensor::from_slice(&[1.0_f32; 4]).view([2, 2]),
        double(&[1.0; 4]).view([2, 2]).tr(),
        double(&[1.0, 2.0]).expand([2, 2], false),
        Tensor::new(),
    ];
    let refused = |result: Result<(), Error>, operation: &str| match result.unwrap_err() {
        Error::Torch { operation: found, message } => {
            assert_eq!(found, operation);
            assert!(message.contains("parameter 0"), "{message}");
        }
        error => panic!("{error:?}"),
    };
    let step = || vec![Tensor::from_slice(&[1.0_f32]).squeeze()];
    for other in others {
        let other = || vec![other.shallow_clone()];
        let all = parameter;
        refused(fused_sgd(&all(), &other(), &[], &SGD), "fused_sgd");
        refused(fused_sgd(&all(), &all(), &other(), &SgdStep { momentum: 0.9, ..SGD }), "fused_sgd");
        refused(fused_adam(&all(), &other(), &all(), &all(), &[], &step(), &ADAM), "fused_adam");
        refused(fused_adam(&all(), &all(), &other(), &all(), &[], &step(), &ADAM), "fused_adam");
        refused(fused_adam(&all(), &all(), &all(), &other(), &[], &step(), &ADAM), "fused_adam");
        let amsgrad = AdamStep { amsgrad: true, ..ADAM };
        refused(fused_adam(&all(), &all(), &all(), &all(), &other(), &step(), &amsgrad), "fused_adam");
    }
    let expanded = || vec![double(&[1.0]).expand([2, 2], false)];
    refused(fused_sgd(&expanded(), &expanded(), &[], &SGD), "fused_sgd");
    let no_step = [Tensor::from_slice(&[0.0_f32; 0])];
    let error = fused_adam(&parameter(), &parameter(), &parameter(), &parameter(), &[], &no_step, &ADAM).unwrap_err();
    assert!(error.to_string().contains("step counter"), "{error}");
}

/// A freed gradient is undefined, and the next backward pass begins from nothing.
#[test]
fn clear_grad_frees_the_gradient() {
    let x = double(&[3.0]).set_requires_grad(true);
    for _ in 0..2 {
        x.square().sum(None).backward();
        assert_close(&x.grad(), &[6.0]);
        clear_grad(&x).unwrap();
        assert!(!x.grad().defined());
    }
    clear_grad(&x).unwrap();
}

/// Gradients are off inside `no_grad` alone, on this thread alone.
#[test]
fn is_grad_enabled_follows_no_grad() {
    assert!(is_grad_enabled());
    tch::no_grad(|| {
        assert!(!is_grad_enabled());
        assert!(std::thread::spawn(is_grad_enabled).join().unwrap());
    });
    assert!(is_grad_enabled());
}

/// Two handles are one tensor; a copy and a view are others.
#[test]
fn is_same_tells_handles_from_copies() {
    let x = double(&[1.0, 2.0]);
    assert!(is_same(&x, &x.shallow_clone()));
    assert!(!is_same(&x, &x.copy()));
    assert!(!is_same(&x, &x.view([2])));
    assert!(!is_same(&x, &x.detach()));
}

/// Norms of several orders, over tensors of several shapes.
#[test]
fn foreach_norm_measures_each() {
    let tensors = [double(&[3.0, -4.0]), double(&[1.0, 2.0, 2.0, 4.0]).view([2, 2])];
    for (order, expected) in [(1.0, [7.0, 9.0]), (2.0, [5.0, 5.0]), (f64::INFINITY, [4.0, 4.0])] {
        let norms = foreach_norm(&tensors, order).unwrap();
        assert_eq!(norms.iter().map(|norm| norm.double_value(&[])).collect::<Vec<_>>(), expected);
    }
    let error = foreach_norm([&Tensor::from_slice(&[1_i64])], 2.0).unwrap_err();
    assert!(matches!(error, Error::Torch { operation: "foreach_norm", .. }), "{error:?}");
}

/// Each tensor is multiplied in place, through every handle; parameters that ask for gradients too.
#[test]
fn foreach_mul_multiplies_in_place() {
    let (x, y) = (double(&[3.0, -4.0]), double(&[0.5]).set_requires_grad(true));
    foreach_mul([&x, &y], &double(&[2.0]).squeeze()).unwrap();
    assert_close(&x, &[6.0, -8.0]);
    assert_close(&y, &[1.0]);
    let error = foreach_mul([&x], &double(&[2.0, 3.0])).unwrap_err();
    assert!(matches!(error, Error::Torch { operation: "foreach_mul", .. }), "{error:?}");
}
