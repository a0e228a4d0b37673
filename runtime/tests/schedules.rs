//! The learning-rate schedules against PyTorch's own rates (`expected/schedules.py` makes them), at work on an optimizer.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::{Device, Kind, Tensor};
use trainloop::optim::{Group, ParamGroup, Sgd};
use trainloop::prelude::*;

fn optimizer(lr: f64) -> Sgd {
    let weight = || Tensor::ones([1], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let named = vec![("body".to_owned(), weight()), ("head".to_owned(), weight())];
    Sgd::builder(lr).group(ParamGroup::new("head", |name| name == "head").lr(lr / 8.0)).build(&named).unwrap()
}

fn rates(optimizer: &Sgd) -> Vec<f64> {
    optimizer.groups().iter().map(Group::learning_rate).collect()
}

/// The rates of so many steps, as a loop that steps the schedule last has them.
fn run<S: Schedule>(schedule: S, lr: f64, steps: usize) -> Vec<f64> {
    let mut optimizer = optimizer(lr);
    let mut schedule = schedule.attach(&mut optimizer).unwrap();
    let mut rates = Vec::new();
    for _ in 0..steps {
        rates.push(optimizer.learning_rate());
        schedule.step(&mut optimizer).unwrap();
    }
    rates
}

fn message<S: Schedule>(schedule: S) -> String {
    let mut optimizer = optimizer(0.1);
    let error = schedule.attach(&mut optimizer).unwrap_err();
    assert_eq!(rates(&optimizer), [0.1, 0.0125], "a refused schedule changes nothing");
    error.to_string()
}

/// From the numbers by their serialised names, and from the builder's methods: both are the same schedule.
fn built<S: Schedule>(numbers: &Value, schedule: S) -> S {
    assert_eq!(serde_json::from_value::<S>(numbers.clone()).unwrap(), schedule);
    schedule
}

#[test]
fn every_rate_is_pytorchs() {
    let file: Value = serde_json::from_str(include_str!("expected/schedules.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 14);
    for case in cases {
        let numbers = &case["numbers"];
        let (float, count) =
            (|name: &str| numbers[name].as_f64().unwrap(), |name: &str| numbers[name].as_u64().unwrap());
        let expected: Vec<f64> = serde_json::from_value(case["rates"].clone()).unwrap();
        let (lr, steps) = (case["lr"].as_f64().unwrap(), expected.len());
        let found = match case["schedule"].as_str().unwrap() {
            "ConstantLr" => run(built(numbers, ConstantLr::new(float("factor")).steps(count("steps"))), lr, steps),
            "LinearWarmup" => {
                let schedule = LinearWarmup::new(count("steps")).start_factor(float("start_factor"));
                run(built(numbers, schedule), lr, steps)
            }
            "StepLr" => run(built(numbers, StepLr::new(count("every"), float("gamma"))), lr, steps),
            "CosineLr" => {
                let schedule = CosineLr::new(count("total_steps"))
                    .warmup(count("warmup_steps"))
                    .start_factor(float("start_factor"))
                    .min_factor(float("min_factor"));
                run(built(numbers, schedule), lr, steps)
            }
            other => panic!("no schedule {other}"),
        };
        for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let near = (found - expected).abs() <= 1e-12 * expected.abs();
            assert!(near, "step {step}: {found:e} is not {expected:e} of {}, {numbers}", case["schedule"]);
        }
    }
}

#[test]
fn attaching_sets_the_first_rate_and_each_group_keeps_its_own() {
    let mut optimizer = optimizer(0.8);
    let mut schedule = StepLr::new(2, 0.5).attach(&mut optimizer).unwrap();
    schedule.step(&mut optimizer).unwrap();
    assert_eq!(rates(&optimizer), [0.8, 0.1]);
    schedule.step(&mut optimizer).unwrap();
    assert_eq!(rates(&optimizer), [0.4, 0.05]);
    assert_eq!((schedule.steps(), schedule.factor()), (2, 0.5));

    LinearWarmup::new(4).start_factor(0.25).attach(&mut optimizer).unwrap();
    assert_eq!(rates(&optimizer), [0.2, 0.025]);
    ConstantLr::new(1.0).attach(&mut optimizer).unwrap();
    assert_eq!(rates(&optimizer), [0.8, 0.1]);
}

#[test]
fn a_restored_schedule_goes_on_where_it_was() {
    let build = || CosineLr::new(20).warmup(5).start_factor(0.1).min_factor(1.0 / 3.0);
    let straight = run(build(), 0.1, 25);

    let mut before = optimizer(0.1);
    let mut schedule = build().attach(&mut before).unwrap();
    for _ in 0..7 {
        schedule.step(&mut before).unwrap();
    }
    let saved = serde_json::to_string(&schedule.state()).unwrap();

    let mut after = optimizer(0.1);
    let mut schedule = build().attach(&mut after).unwrap();
    schedule.load_state(&serde_json::from_str(&saved).unwrap()).unwrap();
    after.load_state(&before.state().unwrap()).unwrap();
    for (step, expected) in straight.iter().enumerate().skip(7) {
        assert_eq!(after.learning_rate().to_bits(), expected.to_bits(), "step {step}");
        schedule.step(&mut after).unwrap();
    }
}

#[test]
fn a_state_with_other_numbers_is_refused_and_seek_goes_on_with_them() {
    let mut optimizer = optimizer(0.1);
    let mut old = CosineLr::new(20).attach(&mut optimizer).unwrap();
    old.seek(15, &mut optimizer).unwrap();
    let mut new = CosineLr::new(30).attach(&mut optimizer).unwrap();
    let text = new.load_state(&old.state()).unwrap_err().to_string();
    for part in ["total_steps: 20", "total_steps: 30", "`seek` step 15"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!((new.steps(), optimizer.learning_rate()), (0, 0.1));
    new.seek(15, &mut optimizer).unwrap();
    assert_eq!((new.steps(), optimizer.learning_rate()), (15, 0.05));
}

#[test]
fn numbers_that_cannot_be_right_are_refused() {
    for (found, expected) in [
        (message(ConstantLr::new(-0.5)), "ConstantLr: the factor is -0.5; it must be a finite number of at least 0"),
        (message(ConstantLr::new(f64::NAN)), "ConstantLr: the factor is NaN; it must be a finite number of at least 0"),
        (message(ConstantLr::new(1.0).steps(0)), "ConstantLr: its length is 0 steps; give it at least 1"),
        (message(LinearWarmup::new(0)), "LinearWarmup: its length is 0 steps; give it at least 1"),
        (
            message(LinearWarmup::new(5).start_factor(1.5)),
            "LinearWarmup: the start factor is 1.5; it must be from 0 to 1, a part of the optimizer's learning rate",
        ),
        (message(StepLr::new(0, 0.1)), "StepLr: the time between two stairs is 0 steps; give it at least 1"),
        (message(StepLr::new(3, f64::INFINITY)), "StepLr: gamma is inf; it must be a finite number of at least 0"),
        (message(CosineLr::new(0)), "CosineLr: its length is 0 steps; give it at least 1"),
        (
            message(CosineLr::new(10).warmup(10)),
            "CosineLr: the warm-up takes 10 of 10 steps, and leaves none for the cosine; shorten it, or use LinearWarmup",
        ),
        (
            message(CosineLr::new(10).min_factor(f64::NAN)),
            "CosineLr: the minimum factor is NaN; it must be from 0 to 1, a part of the optimizer's learning rate",
        ),
        (
            message(CosineLr::new(10).warmup(1).start_factor(-1.0)),
            "CosineLr: the start factor is -1; it must be from 0 to 1, a part of the optimizer's learning rate",
        ),
    ] {
        assert_eq!(found, expected);
    }
}

/// One of the user's own that goes wrong at its third step.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Breaks;

impl Schedule for Breaks {
    fn factor(&self, step: u64) -> f64 {
        if step < 2 { 1.0 } else { f64::NAN }
    }
}

#[test]
fn a_factor_that_is_no_number_is_an_error_that_names_the_step() {
    let mut optimizer = optimizer(0.1);
    let mut schedule = Breaks.attach(&mut optimizer).unwrap();
    schedule.step(&mut optimizer).unwrap();
    let text = schedule.step(&mut optimizer).unwrap_err().to_string();
    assert_eq!(text, "the schedule Breaks gives the factor NaN for step 2; it must be a finite number of at least 0");
    assert_eq!((schedule.steps(), rates(&optimizer)), (1, vec![0.1, 0.0125]));
}
