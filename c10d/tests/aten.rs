//! The functions of libtorch that tch lacks, against plain arithmetic and PyTorch's own permutations.

use serde_json::Value;
use tch::{Device, Kind, Tensor};
use trainloop_c10d::Error;
use trainloop_c10d::aten::{
    AdagradStep, AdamStep, LionStep, RmsPropStep, ScaleUpdate, SgdStep, amp_unscale, amp_update_scale, autocast,
    clear_grad, cuda_generator_state, deterministic_algorithms, foreach_add, foreach_clamp, foreach_lion, foreach_mul,
    foreach_norm, foreach_rmsprop, fused_adagrad, fused_adam, fused_sgd, is_grad_enabled, is_pinned, is_same,
    pin_memory, randperm, set_cuda_generator_state, set_deterministic_algorithms,
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

const ADAGRAD: AdagradStep = AdagradStep { lr: 0.1, lr_decay: 0.5, weight_decay: 0.0, eps: 0.0, maximize: false };

/// The first step of Adagrad goes `lr` along the gradient's sign; the rate of the third is half of it.
#[test]
fn fused_adagrad_steps() {
    let (parameter, sum) = (double(&[1.0, -2.0]), double(&[0.0, 0.0]));
    let step = Tensor::from_slice(&[1.0_f32]).squeeze();
    let handle = |tensor: &Tensor| [tensor.shallow_clone()];
    fused_adagrad(&handle(&parameter), &[double(&[3.0, -4.0])], &handle(&sum), &handle(&step), &ADAGRAD).unwrap();
    assert_close(&sum, &[9.0, 16.0]);
    assert_close(&parameter, &[0.9, -1.9]);
    foreach_add([&step], 2.0).unwrap();
    fused_adagrad(&handle(&parameter), &[double(&[4.0, -3.0])], &handle(&sum), &handle(&step), &ADAGRAD).unwrap();
    assert_close(&sum, &[25.0, 25.0]);
    assert_close(&parameter, &[0.9 - 0.05 * 0.8, -1.9 + 0.05 * 0.6]);
}

const RMSPROP: RmsPropStep =
    RmsPropStep { lr: 0.1, alpha: 0.75, eps: 0.0, weight_decay: 0.0, momentum: 0.0, centered: false, maximize: false };

/// The gradient, divided by the root of its mean square; centered by that of its variance; with momentum gathered.
#[test]
fn foreach_rmsprop_steps() {
    let handle = |tensor: &Tensor| [tensor.shallow_clone()];
    let run = |gradient: f64, options: &RmsPropStep| {
        let (parameter, square, mean, buffer) = (double(&[1.0]), double(&[0.0]), double(&[0.0]), double(&[1.0]));
        let means = if options.centered { vec![mean.shallow_clone()] } else { Vec::new() };
        let buffers = if options.momentum == 0.0 { Vec::new() } else { vec![buffer.shallow_clone()] };
        let gradients = [double(&[gradient])];
        foreach_rmsprop(&handle(&parameter), &gradients, &handle(&square), &means, &buffers, options).unwrap();
        assert_close(&gradients[0], &[gradient]);
        let found = [&parameter, &square, &mean, &buffer].map(|tensor| tensor.double_value(&[0]));
        double(&found)
    };
    assert_close(&run(4.0, &RMSPROP), &[0.8, 4.0, 0.0, 1.0]);
    assert_close(&run(4.0, &RmsPropStep { maximize: true, ..RMSPROP }), &[1.2, 4.0, 0.0, 1.0]);
    assert_close(&run(3.0, &RmsPropStep { weight_decay: 1.0, ..RMSPROP }), &[0.8, 4.0, 0.0, 1.0]);
    assert_close(&run(4.0, &RmsPropStep { momentum: 0.5, ..RMSPROP }), &[0.75, 4.0, 0.0, 2.5]);
    let centered = RmsPropStep { centered: true, ..RMSPROP };
    assert_close(&run(4.0, &centered), &[1.0 - 0.4 / 3.0_f64.sqrt(), 4.0, 1.0, 1.0]);
}

const LION: LionStep = LionStep { lr: 0.25, beta1: 0.5, beta2: 0.75, weight_decay: 0.0, maximize: false };

/// Every weight moves by the rate, whatever the gradient's size, after weight decay has taken its part.
#[test]
fn foreach_lion_steps() {
    let (parameter, mean) = (double(&[1.0, -2.0, 0.5]), double(&[0.0, 0.0, -1.0]));
    let take = |gradient: &[f64], step: &LionStep| {
        foreach_lion(&[parameter.shallow_clone()], &[double(gradient)], &[mean.shallow_clone()], step).unwrap();
    };
    take(&[1e-3, -40.0, 0.5], &LION);
    assert_close(&parameter, &[0.75, -1.75, 0.75]);
    assert_close(&mean, &[0.25e-3, -10.0, -0.625]);
    take(&[1.0, -1.0, 1.0], &LionStep { weight_decay: 1.0, maximize: true, ..LION });
    assert_close(&parameter, &[0.5625 + 0.25, -1.3125 + 0.25, 0.5625 + 0.25]);
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
    argument(fused_adagrad(&one(), &one(), &one(), &[], &ADAGRAD));
    argument(foreach_rmsprop(&one(), &one(), &one(), &one(), &[], &RMSPROP));
    argument(foreach_rmsprop(&one(), &one(), &one(), &[], &[], &RmsPropStep { momentum: 0.5, ..RMSPROP }));
    argument(foreach_lion(&one(), &one(), &[], &LION));
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
        refused(fused_adagrad(&all(), &other(), &all(), &step(), &ADAGRAD), "fused_adagrad");
        refused(fused_adagrad(&all(), &all(), &other(), &step(), &ADAGRAD), "fused_adagrad");
        refused(foreach_rmsprop(&all(), &other(), &all(), &[], &[], &RMSPROP), "foreach_rmsprop");
        refused(foreach_lion(&all(), &all(), &other(), &LION), "foreach_lion");
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

/// A number is added to, and bounds are laid on, each tensor in place; a value that is NaN stays so.
#[test]
fn foreach_add_and_clamp_work_in_place() {
    let (x, y) = (double(&[3.0, -4.0]), Tensor::from_slice(&[0.5_f32]));
    foreach_add([&x, &y], 0.25).unwrap();
    assert_close(&x, &[3.25, -3.75]);
    assert_close(&y, &[0.75]);
    foreach_clamp([&x, &y], -1.5, 0.5).unwrap();
    assert_close(&x, &[0.5, -1.5]);
    assert_close(&y, &[0.5]);
    let z = double(&[f64::NAN, f64::INFINITY]);
    foreach_clamp([&z], -1.0, 1.0).unwrap();
    assert!(z.double_value(&[0]).is_nan());
    assert_eq!(z.double_value(&[1]).to_bits(), 1.0_f64.to_bits());
}

/// Gradients are multiplied, and one that is not finite is noticed and stays noticed.
#[test]
fn amp_unscale_notices_what_is_not_finite() {
    let scalar = |value: f32| Tensor::from_slice(&[value]).squeeze();
    let (found, inverse) = (scalar(0.0), scalar(0.25));
    let gradients = [double(&[8.0, -2.0]), double(&[4.0])];
    amp_unscale(&gradients, &found, &inverse).unwrap();
    assert_close(&gradients[0], &[2.0, -0.5]);
    assert_close(&gradients[1], &[1.0]);
    assert_close(&found, &[0.0]);
    for bad in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        let found = scalar(0.0);
        amp_unscale([&double(&[1.0, bad])], &found, &inverse).unwrap();
        amp_unscale([&double(&[1.0])], &found, &inverse).unwrap();
        assert_close(&found, &[1.0]);
    }
    let error = amp_unscale([&Tensor::from_slice(&[1_i64])], &found, &inverse).unwrap_err();
    assert!(matches!(error, Error::Torch { operation: "amp_unscale", .. }), "{error:?}");
}

/// Down at once, up after an interval without.
#[test]
fn amp_update_scale_moves_the_scale() {
    let (scale, tracker) = (Tensor::from_slice(&[8.0_f32]).squeeze(), Tensor::from_slice(&[0_i32]).squeeze());
    let update = ScaleUpdate { growth_factor: 4.0, backoff_factor: 0.5, growth_interval: 2 };
    let mut seen = Vec::new();
    for found in [0.0_f32, 0.0, 0.0, 1.0, 0.0, 0.0] {
        amp_update_scale(&scale, &tracker, &Tensor::from_slice(&[found]).squeeze(), &update).unwrap();
        seen.push((scale.double_value(&[]), tracker.int64_value(&[])));
    }
    assert_eq!(seen, [(8.0, 1), (32.0, 0), (32.0, 1), (16.0, 0), (16.0, 1), (64.0, 0)]);
}

/// A CUDA device that is not there has no generator.
#[test]
fn a_missing_cuda_device_is_refused() {
    for device in [99, 256, usize::MAX] {
        let refused = |result: Result<(), Error>| {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Argument { .. }), "{error:?}");
            assert!(error.to_string().contains(&format!("there is no CUDA device {device}; libtorch sees")), "{error}");
        };
        refused(cuda_generator_state(device).map(drop));
        refused(set_cuda_generator_state(device, &Tensor::from_slice(&[0_u8])));
    }
}

/// The mode reads back as it was set.
#[test]
fn deterministic_algorithms_are_set_and_read() {
    assert_eq!(deterministic_algorithms(), (false, false));
    for mode in [(true, true), (true, false), (false, false)] {
        set_deterministic_algorithms(mode.0, mode.1).unwrap();
        assert_eq!(deterministic_algorithms(), mode);
    }
}

/// Products in the lower precision, what needs the range in float32, and everything as before afterwards.
#[test]
fn autocast_chooses_by_operation() {
    let matrix = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.125]).view([2, 2]);
    for kind in [Kind::BFloat16, Kind::Half] {
        let (product, nested, softmax) = autocast(Device::Cpu, kind, || {
            let other = if kind == Kind::Half { Kind::BFloat16 } else { Kind::Half };
            let nested = autocast(Device::Cpu, other, || matrix.matmul(&matrix)).unwrap();
            assert_eq!(nested.kind(), other);
            let product = matrix.matmul(&matrix);
            (product.shallow_clone(), nested, product.mse_loss(&matrix, tch::Reduction::Mean))
        })
        .unwrap();
        assert_eq!((product.kind(), softmax.kind()), (kind, Kind::Float));
        assert_eq!(product, matrix.to_kind(kind).matmul(&matrix.to_kind(kind)));
        assert_ne!(nested.kind(), kind);
    }
    let panic = std::panic::catch_unwind(|| autocast(Device::Cpu, Kind::BFloat16, || panic!("in the middle")));
    assert!(panic.is_err());
    assert_eq!(matrix.matmul(&matrix).kind(), Kind::Float);
    let refused = |device, kind| autocast(device, kind, || panic!("called")).unwrap_err().to_string();
    assert!(refused(Device::Cpu, Kind::Float).contains("choose Kind::BFloat16 or Kind::Half"));
    assert!(refused(Device::Mps, Kind::Half).contains("there is none for Mps"));
}

#[test]
fn pinned_memory_needs_a_gpu() {
    let tensor = double(&[1.0, 2.0]);
    assert!(!is_pinned(&tensor).unwrap());
    if tch::Cuda::is_available() {
        let pinned = pin_memory(&tensor).unwrap();
        assert!(is_pinned(&pinned).unwrap());
        assert_eq!(flat(&pinned), [1.0, 2.0]);
    } else {
        assert!(matches!(pin_memory(&tensor), Err(Error::Torch { .. })), "{:?}", pin_memory(&tensor));
    }
}
