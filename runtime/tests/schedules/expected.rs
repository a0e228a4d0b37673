//! Every rate of schedules.json.

use serde_json::Value;
use tch::{Device, Kind, Tensor};
use trainloop::optim::{Adam, Sgd};
use trainloop::prelude::*;
use trainloop::schedule::{Curve, SequentialLr};

use crate::run;

/// The rates of so many steps, and the momentum at each where the schedule has one.
struct Found {
    rates: Vec<f64>,
    momenta: Vec<f64>,
}

/// Runs a schedule that is given by the builder's methods; the numbers by their serialised names must be the same one.
fn found<S: Schedule>(case: &Value, schedule: S) -> Found {
    assert_eq!(serde_json::from_value::<S>(case["numbers"].clone()).unwrap(), schedule);
    let (lr, steps) = (case["lr"].as_f64().unwrap(), case["rates"].as_array().unwrap().len());
    Found { rates: run(schedule, lr, steps), momenta: Vec::new() }
}

fn float(numbers: &Value, name: &str) -> f64 {
    numbers[name].as_f64().unwrap()
}

fn count(numbers: &Value, name: &str) -> u64 {
    numbers[name].as_u64().unwrap()
}

fn curve(numbers: &Value, name: &str) -> Curve {
    match numbers[name].as_str().unwrap() {
        "linear" => Curve::Linear,
        "cosine" => Curve::Cosine,
        "one_minus_sqrt" => Curve::OneMinusSqrt,
        other => panic!("no curve {other}"),
    }
}

fn warmup(numbers: &Value) -> LinearWarmup {
    LinearWarmup::new(count(numbers, "steps")).start_factor(float(numbers, "start_factor"))
}

fn multi_step(numbers: &Value) -> MultiStepLr {
    let milestones: Vec<u64> = serde_json::from_value(numbers["milestones"].clone()).unwrap();
    MultiStepLr::new(milestones, float(numbers, "gamma"))
}

fn restarts(numbers: &Value) -> CosineRestartsLr {
    let schedule = CosineRestartsLr::new(count(numbers, "first_cycle"))
        .multiplier(count(numbers, "multiplier"))
        .min_factor(float(numbers, "min_factor"));
    numbers["cycles"].as_u64().map_or(schedule, |cycles| schedule.cycles(cycles))
}

fn one_cycle(case: &Value) -> Found {
    let n = &case["numbers"];
    let schedule = OneCycleLr::new(count(n, "total_steps"))
        .pct_start(float(n, "pct_start"))
        .curve(curve(n, "curve"))
        .div_factor(float(n, "div_factor"))
        .final_div_factor(float(n, "final_div_factor"))
        .three_phase(n["three_phase"].as_bool().unwrap());
    let schedule = match n["momentum"].as_array() {
        Some(range) => schedule.momentum_range(range[0].as_f64().unwrap(), range[1].as_f64().unwrap()),
        None => schedule.fixed_momentum(),
    };
    let mut found = found(case, schedule);
    let weight = Tensor::ones([1], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let named = vec![("w".to_owned(), weight)];
    let lr = float(case, "lr");
    if case["optimizer"] == "adam" {
        let mut optimizer = Adam::builder(lr).build(&named).unwrap();
        let mut scheduler = schedule.attach(&mut optimizer).unwrap();
        for _ in &found.rates {
            found.momenta.push(optimizer.groups()[0].options().betas.0);
            scheduler.step(&mut optimizer).unwrap();
        }
    } else {
        let mut optimizer = Sgd::builder(lr).momentum(0.9).build(&named).unwrap();
        let mut scheduler = schedule.attach(&mut optimizer).unwrap();
        for _ in &found.rates {
            found.momenta.push(optimizer.groups()[0].options().momentum);
            scheduler.step(&mut optimizer).unwrap();
        }
    }
    found
}

fn of_case(case: &Value) -> Found {
    let n = &case["numbers"];
    match case["schedule"].as_str().unwrap() {
        "ConstantLr" => found(case, ConstantLr::new(float(n, "factor")).steps(count(n, "steps"))),
        "LinearWarmup" => found(case, warmup(n)),
        "StepLr" => found(case, StepLr::new(count(n, "every"), float(n, "gamma"))),
        "MultiStepLr" => found(case, multi_step(n)),
        "ExponentialLr" => found(case, ExponentialLr::new(float(n, "gamma"))),
        "CosineRestartsLr" => found(case, restarts(n)),
        "OneCycleLr" => one_cycle(case),
        "CosineLr" => found(
            case,
            CosineLr::new(count(n, "total_steps"))
                .warmup(count(n, "warmup_steps"))
                .start_factor(float(n, "start_factor"))
                .min_factor(float(n, "min_factor")),
        ),
        "PolynomialLr" => found(
            case,
            PolynomialLr::new(count(n, "total_steps"))
                .power(float(n, "power"))
                .warmup(count(n, "warmup_steps"))
                .start_factor(float(n, "start_factor"))
                .end_factor(float(n, "end_factor")),
        ),
        "InverseSqrtLr" => found(case, InverseSqrtLr::new(count(n, "warmup_steps")).timescale(count(n, "timescale"))),
        "WarmupStableDecayLr" => found(
            case,
            WarmupStableDecayLr::new(count(n, "warmup_steps"), count(n, "stable_steps"), count(n, "decay_steps"))
                .warmup_curve(curve(n, "warmup_curve"))
                .decay_curve(curve(n, "decay_curve"))
                .min_factor(float(n, "min_factor")),
        ),
        "SequentialLr" if n["next"]["milestones"].is_array() => {
            let schedule: SequentialLr<_, _> = warmup(&n["first"]).before(multi_step(&n["next"]));
            found(case, schedule)
        }
        "SequentialLr" => found(case, warmup(&n["first"]).then(count(n, "steps"), restarts(&n["next"]))),
        other => panic!("no schedule {other}"),
    }
}

/// The distances are in parts of the optimizer's rate. PyTorch's are 0 where the same `cos` and `pow` are at work, and those
/// of Transformers are not, since it divides by the rate and multiplies by it again.
#[test]
fn every_rate_is_pytorchs() {
    let file: Value = serde_json::from_str(include_str!("../expected/schedules.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 49);
    for case in cases {
        let name = format!("{} {}", case["schedule"], case["numbers"]);
        let found = of_case(case);
        let expected: Vec<f64> = serde_json::from_value(case["rates"].clone()).unwrap();
        let momenta: Vec<f64> = serde_json::from_value(case["momenta"].clone()).unwrap_or_default();
        assert_eq!((found.rates.len(), found.momenta.len()), (expected.len(), momenta.len()), "{name}");
        let far = |found: &[f64], expected: &[f64]| {
            let pairs = found.iter().zip(expected);
            pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max)
        };
        let far = (far(&found.rates, &expected) / float(case, "lr")).max(far(&found.momenta, &momenta));
        println!("{far:e} apart: {name}");
        assert!(far <= 1e-15, "{far:e} apart: {name}\n{:?}\n{expected:?}", found.rates);
    }
}
