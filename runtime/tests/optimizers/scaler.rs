//! `GradScaler`, by the numbers that `expected/scaler.py` had from PyTorch; what it refuses; what ranks agree on.

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tch::{Device, Kind, Tensor};
use trainloop::c10d::{FileStore, Interface, ProcessGroup};
use trainloop::optim::{Adam, AdamW, GradScaler, GradScalerBuilder, GradScalerState, Optimizer, Parameters, Rule, Sgd};

use crate::expected::{cases, distance};
use crate::{Named, flat};

fn builder(numbers: &Value) -> GradScalerBuilder {
    let number = |name: &str| numbers[name].as_f64().unwrap();
    GradScaler::builder()
        .init_scale(number("init_scale"))
        .growth_factor(number("growth_factor"))
        .backoff_factor(number("backoff_factor"))
        .growth_interval(u32::try_from(numbers["growth_interval"].as_u64().unwrap()).unwrap())
}

fn parameter(values: &Value) -> Named {
    let values: Vec<f64> = serde_json::from_value(values.clone()).unwrap();
    vec![("w".into(), Tensor::from_slice(&values).to_kind(Kind::Float).set_requires_grad(true))]
}

/// A loss whose gradient is exactly this.
fn loss(named: &Named, gradient: &Value) -> Tensor {
    let values = gradient.as_array().unwrap().iter();
    let values = values.map(|value| value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap()));
    let gradient = Tensor::from_slice(&values.collect::<Vec<_>>()).to_kind(Kind::Float);
    (&named[0].1 * gradient).sum(None)
}

/// One step, in parts where gradients are clipped; whether it was taken.
fn step<R: Rule>(scaler: &mut GradScaler, optimizer: &mut Optimizer<R>, loss: &Tensor, clip: Option<f64>) -> bool {
    let Some(max_norm) = clip else { return scaler.backward_step(optimizer, loss).unwrap() };
    optimizer.zero_grad().unwrap();
    optimizer.backward(&scaler.scale(loss).unwrap()).unwrap();
    scaler.unscale(optimizer).unwrap();
    let _norm = optimizer.clip_grad_norm(max_norm).unwrap();
    let taken = scaler.step(optimizer).unwrap();
    scaler.update().unwrap();
    taken
}

/// A run of a case; after `cut` steps both the optimizer and the scaler are built anew and loaded.
fn run<R: Rule>(case: &Value, build: impl Fn(&Named) -> Optimizer<R>, cut: Option<usize>) -> bool {
    let named = parameter(&case["initial"]);
    let mut optimizer = build(&named);
    let mut scaler = builder(&case["scaler"]).build().unwrap();
    let mut all_equal = true;
    for (index, gradient) in case["gradients"].as_array().unwrap().iter().enumerate() {
        if cut == Some(index) {
            let state = serde_json::to_string(&scaler.state().unwrap()).unwrap();
            scaler = GradScaler::builder().growth_interval(77).build().unwrap();
            scaler.load_state(&serde_json::from_str::<GradScalerState>(&state).unwrap()).unwrap();
            let state = optimizer.state().unwrap();
            optimizer = build(&named);
            optimizer.load_state(&state).unwrap();
        }
        let taken = step(&mut scaler, &mut optimizer, &loss(&named, gradient), case["clip"].as_f64());
        let after = &case["after"][index];
        let state = scaler.state().unwrap();
        assert_eq!(Value::from(taken), after["taken"], "step {index} of {}", case["scaler"]);
        assert_eq!(Value::from(state.scale), after["scale"], "step {index} of {}", case["scaler"]);
        assert_eq!(Value::from(state.growth_tracker), after["growth_tracker"], "step {index} of {}", case["scaler"]);
        let (far, equal) = distance(&flat(&named[0].1), &after["parameters"]);
        assert!(far <= 1e-6, "step {index} of {}: {far:e} apart", case["scaler"]);
        all_equal = all_equal && equal;
    }
    all_equal
}

#[test]
fn every_step_and_scale_is_pytorchs() {
    let cases = cases(include_str!("../expected/scaler.json"));
    assert_eq!(cases.len(), 7);
    for case in &cases {
        let lr = case["options"]["lr"].as_f64().unwrap();
        for cut in [None, Some(1), Some(4), Some(9), Some(17)] {
            let equal = match case["optimizer"].as_str().unwrap() {
                "sgd" => run(case, |named| Sgd::builder(lr).momentum(0.9).build(named).unwrap(), cut),
                _ => run(case, |named| AdamW::builder(lr).build(named).unwrap(), cut),
            };
            println!("{} {}, loaded at {cut:?}: bit-equal: {equal}", case["optimizer"], case["scaler"]);
        }
    }
}

fn ones() -> Named {
    parameter(&serde_json::json!([1.0, 2.0]))
}

fn with_gradient(scaler: &GradScaler, named: &Named) -> Sgd {
    let optimizer = Sgd::builder(0.1).build(named).unwrap();
    optimizer.backward(&scaler.scale(&named[0].1.sum(None)).unwrap()).unwrap();
    optimizer
}

#[test]
fn calls_out_of_order_are_refused() {
    let mut scaler = GradScaler::builder().init_scale(8.0).build().unwrap();
    let named = ones();
    let error = scaler.update().unwrap_err().to_string();
    assert!(error.contains("`GradScaler::update` has nothing to go by"), "{error}");
    let mut bare = Sgd::builder(0.1).build(&ones()).unwrap();
    let error = scaler.step(&mut bare).unwrap_err().to_string();
    assert!(error.contains("no parameter of Sgd has a gradient to unscale"), "{error}");

    let mut optimizer = with_gradient(&scaler, &named);
    assert_eq!(flat(&named[0].1.grad()), [8.0, 8.0]);
    scaler.unscale(&mut optimizer).unwrap();
    assert_eq!(flat(&named[0].1.grad()), [1.0, 1.0]);
    let error = scaler.unscale(&mut optimizer).unwrap_err().to_string();
    assert!(error.contains("gradients of Sgd have been unscaled since the last `GradScaler::update`"), "{error}");
    assert_eq!(flat(&named[0].1.grad()), [1.0, 1.0], "a refused call divides nothing");

    assert!(scaler.step(&mut optimizer).unwrap());
    let after = flat(&named[0].1);
    let error = scaler.step(&mut optimizer).unwrap_err().to_string();
    assert!(error.contains("Sgd has been stepped since the last `GradScaler::update`; call `update`"), "{error}");
    let error = scaler.unscale(&mut optimizer).unwrap_err().to_string();
    assert!(error.contains("gradients of Sgd have been stepped by since"), "{error}");
    assert_eq!(flat(&named[0].1), after);
    scaler.update().unwrap();
    assert!(scaler.step(&mut optimizer).unwrap());
}

/// Two optimizers share a scaler: each is left out by its own gradients, and the scale moves once.
#[test]
fn two_optimizers_share_a_scaler() {
    let mut scaler = GradScaler::builder().init_scale(8.0).build().unwrap();
    let (good, bad) = (ones(), ones());
    let mut first = with_gradient(&scaler, &good);
    let mut second = Sgd::builder(0.1).build(&bad).unwrap();
    second.backward(&(&bad[0].1 * f64::INFINITY).sum(None)).unwrap();
    assert!(scaler.step(&mut first).unwrap());
    assert!(!scaler.step(&mut second).unwrap());
    assert_eq!(flat(&bad[0].1), [1.0, 2.0]);
    assert!(flat(&good[0].1)[0] < 1.0);
    scaler.update().unwrap();
    assert_eq!(scaler.state().unwrap().scale.to_bits(), 4.0_f64.to_bits());
}

#[test]
fn a_scaler_that_is_not_enabled_steps_plainly() {
    let mut scaler = GradScaler::builder().enabled(false).build().unwrap();
    let (named, plain) = (ones(), ones());
    let mut optimizer = Adam::builder(0.1).build(&named).unwrap();
    let mut other = Adam::builder(0.1).build(&plain).unwrap();
    for _ in 0..3 {
        assert!(scaler.backward_step(&mut optimizer, &named[0].1.square().sum(None)).unwrap());
        other.backward_step(&plain[0].1.square().sum(None)).unwrap();
    }
    scaler.unscale(&mut optimizer).unwrap();
    scaler.unscale(&mut optimizer).unwrap();
    assert_eq!(flat(&named[0].1), flat(&plain[0].1));
    assert_eq!((scaler.scale_factor().unwrap().to_bits(), scaler.is_enabled()), (1.0_f64.to_bits(), false));
}

#[test]
fn numbers_that_cannot_be_right_are_refused() {
    let new = GradScaler::builder;
    let cases = [
        (new().init_scale(0.0), "the scale is 0; it must be above 0"),
        (new().init_scale(1e39), "it must be above 0 and a finite float32"),
        (new().init_scale(f64::NAN), "the scale is NaN"),
        (new().growth_factor(1.0), "growth_factor is 1; it must be a finite number above 1"),
        (new().growth_factor(f64::INFINITY), "growth_factor is inf"),
        (new().backoff_factor(1.0), "backoff_factor is 1; it must be above 0 and below 1"),
        (new().backoff_factor(0.0), "backoff_factor is 0"),
        (new().growth_interval(0), "growth_interval is 0 steps; give it at least 1"),
    ];
    for (builder, words) in cases {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.starts_with("GradScaler: ") && error.contains(words), "{error}");
    }
}

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let mut scaler = new_scaler(true);
    let before = scaler.state().unwrap();
    let error = scaler.load_state(&new_scaler(false).state().unwrap()).unwrap_err().to_string();
    assert!(error.contains("it is of one that was not enabled"), "{error}");
    let bad = GradScalerState { scale: -1.0, ..before };
    let error = scaler.load_state(&bad).unwrap_err().to_string();
    assert!(error.contains("cannot be loaded into GradScaler: the scale is -1"), "{error}");
    assert_eq!(scaler.state().unwrap(), before);
    let mut off = new_scaler(false);
    off.load_state(&before).unwrap();
    assert!(!off.state().unwrap().enabled);
}

fn new_scaler(enabled: bool) -> GradScaler {
    GradScaler::builder().init_scale(64.0).enabled(enabled).build().unwrap()
}

#[test]
fn float16_gradients_are_refused() {
    let mut scaler = new_scaler(true);
    let weight = Tensor::ones([2], (Kind::Half, Device::Cpu)).set_requires_grad(true);
    let mut optimizer = Sgd::builder(0.1).build(&vec![("w".to_owned(), weight.shallow_clone())]).unwrap();
    let error = scaler.backward_step(&mut optimizer, &weight.sum(None)).unwrap_err().to_string();
    assert!(error.contains("a gradient of Sgd is float16, and cannot be unscaled"), "{error}");
}

/// A replica's parameters.
struct Replica(Named, Rc<ProcessGroup>);

impl Parameters for Replica {
    fn named_parameters(&self) -> Vec<(String, Tensor)> {
        self.0.named_parameters()
    }

    fn process_group(&self) -> Option<Rc<ProcessGroup>> {
        Some(Rc::clone(&self.1))
    }
}

/// Ranks as threads, whose gradients are not averaged: one rank's infinity keeps all from stepping.
#[test]
fn ranks_leave_out_the_same_steps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let rank = |rank: usize| {
        let patience = Duration::from_secs(60);
        let store = FileStore::open(&path.join("store"), 2).unwrap();
        let group = Rc::new(ProcessGroup::gloo(&store, rank, 2, patience, Interface::Loopback).unwrap());
        let replica = Replica(ones(), group);
        let mut optimizer = Sgd::builder(0.1).build(&replica).unwrap();
        let mut scaler = new_scaler(true);
        let mut taken = Vec::new();
        for step in 0..4 {
            // Rank 1 at step 1, rank 0 at step 3.
            let factor = if (step, rank) == (1, 1) || (step, rank) == (3, 0) { f64::INFINITY } else { 1.0 };
            let loss = (&replica.0[0].1 * factor).sum(None);
            taken.push(scaler.backward_step(&mut optimizer, &loss).unwrap());
        }
        (taken, scaler.scale_factor().unwrap(), flat(&replica.0[0].1))
    };
    let found = std::thread::scope(|scope| {
        let other = scope.spawn(|| rank(1));
        [rank(0), other.join().unwrap()]
    });
    assert_eq!(found[0], found[1]);
    assert_eq!((found[0].0.as_slice(), found[0].1.to_bits()), (&[true, false, true, false][..], 16.0_f64.to_bits()));
}
