//! The learning-rate schedules against PyTorch's own rates (`expected/schedules.py` makes them), at work on an optimizer.

mod expected;
mod plateau;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use trainloop::optim::{Group, ParamGroup, Sgd};
use trainloop::prelude::*;
use trainloop::schedule::Curve;

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
fn every_restored_schedule_goes_on_where_it_was() {
    goes_on(&ConstantLr::new(0.5).steps(9));
    goes_on(&StepLr::new(3, 0.7));
    goes_on(&MultiStepLr::new([2, 8, 11], 0.7));
    goes_on(&ExponentialLr::new(0.9));
    goes_on(&LinearWarmup::new(12).start_factor(0.25));
    goes_on(&PolynomialLr::new(20).power(1.7).warmup(3).end_factor(0.01));
    goes_on(&CosineLr::new(20).warmup(5).start_factor(0.1).min_factor(1.0 / 3.0));
    goes_on(&CosineRestartsLr::new(4).multiplier(2).min_factor(0.1).cycles(2));
    goes_on(&OneCycleLr::new(20).three_phase(true));
    goes_on(&WarmupStableDecayLr::new(4, 6, 9).warmup_curve(Curve::Cosine));
    goes_on(&InverseSqrtLr::new(6).timescale(9));
    goes_on(&LinearWarmup::new(9).before(ExponentialLr::new(0.8)));
}

fn goes_on<S: Schedule>(schedule: &S) {
    let build = || schedule.clone();
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
    let momentum = |optimizer: &Sgd| optimizer.groups()[0].options().momentum.to_bits();
    assert_eq!(momentum(&after), momentum(&before), "{schedule:?}");
    for (step, expected) in straight.iter().enumerate().skip(7) {
        assert_eq!(after.learning_rate().to_bits(), expected.to_bits(), "step {step} of {schedule:?}");
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
    assert_eq!(new.steps(), 15);
    assert!((optimizer.learning_rate() - 0.05).abs() < 1e-15);
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
        (
            message(MultiStepLr::new([], 0.1)),
            "MultiStepLr: there is no milestone; give at least one, or use ConstantLr",
        ),
        (
            message(MultiStepLr::new([3, 9, 9], 0.1)),
            "MultiStepLr: the milestone 9 comes after 9; give each once, in rising order",
        ),
        (message(MultiStepLr::new([3], -0.1)), "MultiStepLr: gamma is -0.1; it must be a finite number of at least 0"),
        (message(ExponentialLr::new(-1.0)), "ExponentialLr: gamma is -1; it must be a finite number of at least 0"),
        (message(PolynomialLr::new(0)), "PolynomialLr: its length is 0 steps; give it at least 1"),
        (message(PolynomialLr::new(5).power(0.0)), "PolynomialLr: the power is 0; it must be a finite number above 0"),
        (
            message(PolynomialLr::new(5).warmup(6)),
            "PolynomialLr: the warm-up takes 6 of 5 steps, and leaves none for the decay; shorten it, or use LinearWarmup",
        ),
        (
            message(PolynomialLr::new(5).end_factor(1.5)),
            "PolynomialLr: the end factor is 1.5; it must be from 0 to 1, a part of the optimizer's learning rate",
        ),
        (message(CosineRestartsLr::new(0)), "CosineRestartsLr: its first cycle is 0 steps; give it at least 1"),
        (
            message(CosineRestartsLr::new(5).multiplier(0)),
            "CosineRestartsLr: the multiplier is 0; give at least 1, which keeps the length",
        ),
        (message(CosineRestartsLr::new(5).cycles(0)), "CosineRestartsLr: it has 0 cycles; give it at least 1"),
        (message(OneCycleLr::new(0)), "OneCycleLr: its length is 0 steps; give it at least 1"),
        (
            message(OneCycleLr::new(10).pct_start(1.5)),
            "OneCycleLr: pct_start is 1.5; it must be from 0 to 1, a part of the 10 steps",
        ),
        (
            message(OneCycleLr::new(10).pct_start(0.6).three_phase(true)),
            "OneCycleLr: pct_start is 0.6; it must be from 0 to 0.5, a part of the 10 steps that leaves as many to come \
             down again",
        ),
        (
            message(OneCycleLr::new(10).div_factor(0.0)),
            "OneCycleLr: div_factor is 0; it must be a finite number above 0",
        ),
        (
            message(OneCycleLr::new(10).momentum_range(0.9, 1.0)),
            "OneCycleLr: the momentum goes between 0.9 and 1; both must be above 0 and below 1, the least first",
        ),
        (
            message(WarmupStableDecayLr::new(0, 0, 0)),
            "WarmupStableDecayLr: all three of its lengths are 0 steps; give it at least 1",
        ),
        (
            message(WarmupStableDecayLr::new(1, 2, 3).decay_curve(Curve::Linear).min_factor(2.0)),
            "WarmupStableDecayLr: the minimum factor is 2; it must be from 0 to 1, a part of the optimizer's learning rate",
        ),
        (message(InverseSqrtLr::new(5).timescale(0)), "InverseSqrtLr: its timescale is 0 steps; give it at least 1"),
        (
            message(LinearWarmup::new(0).before(StepLr::new(3, 0.1))),
            "SequentialLr: its first part is 0 steps; give it at least 1",
        ),
        (
            message(LinearWarmup::new(2).before(StepLr::new(0, 0.1))),
            "StepLr: the time between two stairs is 0 steps; give it at least 1",
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
