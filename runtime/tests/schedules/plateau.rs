//! `ReduceOnPlateau` against PyTorch's own.

use serde_json::Value;
use trainloop::prelude::*;
use trainloop::schedule::{Better, PlateauState, Threshold};

use crate::{optimizer, rates};

fn cases() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../expected/schedules.json")).unwrap();
    file["plateaus"].as_array().unwrap().clone()
}

/// By the builder's methods; the serialised names give the same.
fn plateau(numbers: &Value) -> ReduceOnPlateau {
    let float = |name: &str| numbers[name].as_f64().unwrap();
    let count = |name: &str| numbers[name].as_u64().unwrap();
    let threshold = &numbers["threshold"];
    let plateau = ReduceOnPlateau::new()
        .better(if numbers["better"] == "max" { Better::Max } else { Better::Min })
        .factor(float("factor"))
        .patience(count("patience"))
        .threshold(match threshold["relative"].as_f64() {
            Some(part) => Threshold::Relative(part),
            None => Threshold::Absolute(threshold["absolute"].as_f64().unwrap()),
        })
        .cooldown(count("cooldown"))
        .min_lr(float("min_lr"))
        .eps(float("eps"));
    assert_eq!(serde_json::from_value::<ReduceOnPlateau>(numbers.clone()).unwrap(), plateau);
    plateau
}

fn metrics(case: &Value) -> Vec<f64> {
    case["metrics"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect()
}

#[test]
fn every_rate_is_pytorchs() {
    let cases = cases();
    assert_eq!(cases.len(), 10);
    for case in &cases {
        let mut optimizer = optimizer(case["lr"].as_f64().unwrap());
        let mut plateau = plateau(&case["numbers"]).attach(&optimizer).unwrap();
        let mut before = rates(&optimizer);
        for (step, value) in metrics(case).into_iter().enumerate() {
            let reduced = plateau.step(value, &mut optimizer).unwrap();
            let (found, expected) = (optimizer.learning_rate(), case["rates"][step].as_f64().unwrap());
            assert_eq!(found.to_bits(), expected.to_bits(), "step {step}: {found} is not {expected} of {case}");
            assert_eq!(reduced, rates(&optimizer) != before, "step {step} of {case}");
            before = rates(&optimizer);
        }
        let state = serde_json::to_value(plateau.state()).unwrap();
        for (name, expected) in case["state"].as_object().unwrap() {
            assert_eq!(&state[name], expected, "{name} of {case}");
        }
    }
}

/// From each step on, through text and back, the rates are those of a run that was never broken off.
#[test]
fn a_restored_plateau_goes_on_where_it_was() {
    for case in &cases() {
        let numbers = plateau(&case["numbers"]);
        let metrics = metrics(case);
        let lr = case["lr"].as_f64().unwrap();
        for cut in 0..metrics.len() {
            let mut before = optimizer(lr);
            let mut first = numbers.attach(&before).unwrap();
            for &value in &metrics[..cut] {
                first.step(value, &mut before).unwrap();
            }
            let mut after = optimizer(lr);
            let mut second = numbers.attach(&after).unwrap();
            let saved: PlateauState = serde_json::from_str(&serde_json::to_string(&first.state()).unwrap()).unwrap();
            second.load_state(&saved).unwrap();
            after.load_state(&before.state().unwrap()).unwrap();
            for (step, &value) in metrics.iter().enumerate().skip(cut) {
                second.step(value, &mut after).unwrap();
                let expected = case["rates"][step].as_f64().unwrap();
                assert_eq!(after.learning_rate().to_bits(), expected.to_bits(), "step {step} after {cut} of {case}");
            }
            assert_eq!(second.steps(), metrics.len() as u64);
        }
    }
}

#[test]
fn a_state_with_other_numbers_is_refused() {
    let mut optimizer = optimizer(0.1);
    let mut old = ReduceOnPlateau::new().patience(3).attach(&optimizer).unwrap();
    old.step(0.5, &mut optimizer).unwrap();
    let mut new = ReduceOnPlateau::new().patience(4).attach(&optimizer).unwrap();
    let text = new.load_state(&old.state()).unwrap_err().to_string();
    assert!(text.contains("patience: 3") && text.contains("patience: 4"), "{text}");
    assert_eq!((new.best(), new.steps()), (None, 0));
    assert_eq!((old.best(), old.steps()), (Some(0.5), 1));
}

#[test]
fn numbers_that_cannot_be_right_are_refused() {
    let refused = |plateau: ReduceOnPlateau| plateau.attach(&optimizer(0.1)).unwrap_err().to_string();
    let new = ReduceOnPlateau::new;
    for (found, expected) in [
        (refused(new().factor(1.0)), "factor is 1; it must be at least 0 and below 1"),
        (refused(new().factor(-0.5)), "factor is -0.5"),
        (refused(new().min_lr(-1.0)), "min_lr is -1; it must be a finite number of at least 0"),
        (refused(new().min_lr(0.02)), "min_lr is 0.02, above the learning rate 0.0125 of group `head`"),
        (refused(new().eps(f64::NAN)), "eps is NaN"),
        (refused(new().threshold(Threshold::Absolute(-1.0))), "threshold is -1"),
        (refused(new().threshold(Threshold::Relative(1.0))), "a relative threshold of 1 asks a loss to fall by all"),
    ] {
        assert!(found.starts_with("ReduceOnPlateau: ") && found.contains(expected), "{found}");
    }
    assert!(new().better(Better::Max).threshold(Threshold::Relative(2.0)).attach(&optimizer(0.1)).is_ok());
}
