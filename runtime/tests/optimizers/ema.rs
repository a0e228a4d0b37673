//! Averages of parameters, by the numbers that `expected/ema.py` had from PyTorch; what they leave and what they refuse.

use serde_json::Value;
use tch::{Device, Kind, Tensor};
use trainloop::optim::Ema;
use trainloop::{Error, Result};

use super::{Named, flat};

const JSON: &str = include_str!("../expected/ema.json");

fn weight(values: &[f64], kind: Kind) -> Named {
    vec![("weight".to_owned(), Tensor::from_slice(values).to_kind(kind).set_requires_grad(true))]
}

fn set(model: &Named, values: &[f64]) {
    tch::no_grad(|| model[0].1.shallow_clone().copy_(&Tensor::from_slice(values)));
}

fn bits(tensor: &Tensor) -> Vec<String> {
    if tensor.kind() == Kind::Double {
        flat(tensor).into_iter().map(|value| format!("{:016x}", value.to_bits())).collect()
    } else {
        flat(tensor).into_iter().map(|value| format!("{:08x}", (value as f32).to_bits())).collect()
    }
}

#[test]
fn averages_are_pytorchs_bit_for_bit() {
    let file: Value = serde_json::from_str(JSON).unwrap();
    for case in file["cases"].as_array().unwrap() {
        let kind = if case["double"] == true { Kind::Double } else { Kind::Float };
        let model = weight(&[0.0; 5], kind);
        let mut ema = Ema::new(&model, case["decay"].as_f64().unwrap()).unwrap();
        for (update, expected) in case["averages"].as_array().unwrap().iter().enumerate() {
            let values: Vec<f64> = (0..5).map(|index| ((update * 7 + index) as f64).sin()).collect();
            set(&model, &values);
            ema.update(&model).unwrap();
            let found = bits(&ema.averaged_parameters()[0].1);
            assert_eq!(serde_json::to_value(found).unwrap(), *expected, "{case}, update {update}");
        }
        assert_eq!(ema.updates(), 10);
    }
}

#[test]
fn the_parameters_are_back_after_an_evaluation_however_it_ends() {
    let model = weight(&[1.0, 2.0], Kind::Float);
    let mut ema = Ema::new(&model, 0.5).unwrap();
    ema.update(&model).unwrap();
    set(&model, &[3.0, 4.0]);
    ema.update(&model).unwrap();
    let own = || flat(&model[0].1);
    assert_eq!(ema.apply(&model, || Ok(own())).unwrap(), [2.0, 3.0]);
    assert_eq!(own(), [3.0, 4.0]);
    let failed: Result<()> = ema.apply(&model, || Err(Error::other("no data")));
    failed.unwrap_err();
    assert_eq!(own(), [3.0, 4.0]);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        ema.apply(&model, || -> Result<()> { panic!("as told") })
    }));
    assert!(panicked.is_err());
    assert_eq!(own(), [3.0, 4.0]);
    // It is the same tensor, which an optimizer trains on.
    assert!(model[0].1.requires_grad());
    model[0].1.square().sum(Kind::Float).backward();
    assert_eq!(flat(&model[0].1.grad()), [6.0, 8.0]);
}

#[test]
fn another_model_and_a_decay_that_is_none_are_refused() {
    for decay in [-0.1, 1.1, f64::NAN] {
        let error = Ema::new(&weight(&[1.0], Kind::Float), decay).unwrap_err().to_string();
        assert!(error.contains("must be in 0 to 1"), "{error}");
    }
    let mut ema = Ema::new(&weight(&[1.0], Kind::Float), 0.9).unwrap();
    let named = vec![("bias".to_owned(), Tensor::zeros([1], (Kind::Float, Device::Cpu)))];
    for other in [weight(&[1.0, 2.0], Kind::Float), weight(&[1.0], Kind::Double), named, Vec::new()] {
        let error = ema.update(&other).unwrap_err().to_string();
        assert!(error.contains("made of another model"), "{error}");
    }
    assert_eq!((ema.updates(), flat(&ema.averaged_parameters()[0].1)), (0, vec![1.0]));
}
