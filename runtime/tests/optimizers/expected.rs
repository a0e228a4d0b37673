//! Steps, by the numbers that `expected/optimizers.py` had from PyTorch.

use serde_json::Value;
use tch::{Device, Kind, Tensor};
use trainloop::optim::{
    Adagrad, AdagradRule, Adam, AdamW, Builder, Lion, LionRule, Optimizer, ParamGroup, RmsProp, RmsPropRule, Rule, Sgd,
    SgdRule,
};

use crate::{Named, flat};

pub(crate) fn cases(json: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(json).unwrap();
    file["cases"].as_array().unwrap().clone()
}

pub(crate) fn kind(case: &Value) -> Kind {
    if case["dtype"] == "f64" { Kind::Double } else { Kind::Float }
}

fn tensor(values: &Value, shape: &Value, kind: Kind) -> Tensor {
    let values: Vec<f64> = serde_json::from_value(values.clone()).unwrap();
    let shape: Vec<i64> = serde_json::from_value(shape.clone()).unwrap();
    Tensor::from_slice(&values).to_kind(kind).reshape(shape)
}

/// Parameters `p0`, `p1`, … with these values.
fn parameters(values: &Value, shapes: &Value, kind: Kind) -> Named {
    let values = values.as_array().unwrap().iter().zip(shapes.as_array().unwrap()).enumerate();
    values.map(|(i, (values, shape))| (format!("p{i}"), tensor(values, shape, kind).set_requires_grad(true))).collect()
}

/// Gives each parameter exactly this gradient, by the backward pass of a sum of products; null gives it none.
pub(crate) fn set_gradients<R: Rule>(optimizer: &mut Optimizer<R>, named: &Named, gradients: &Value) {
    optimizer.zero_grad().unwrap();
    for ((_, parameter), gradient) in named.iter().zip(gradients.as_array().unwrap()) {
        if !gradient.is_null() {
            let gradient = tensor(gradient, &parameter.size().into(), parameter.kind());
            optimizer.backward(&(parameter * gradient).sum(None)).unwrap();
        }
    }
}

/// The greatest distance, relative where the expected number is above 1, and whether all bits are equal.
pub(crate) fn distance(found: &[f64], expected: &Value) -> (f64, bool) {
    let expected: Vec<f64> = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(found.len(), expected.len());
    let pairs = || found.iter().zip(&expected);
    let far = pairs().map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max);
    (far, pairs().all(|(a, b)| a.to_bits() == b.to_bits()))
}

fn sgd(options: &Value) -> Builder<SgdRule> {
    let number = |name: &str| options[name].as_f64().unwrap_or(0.0);
    let flag = |name: &str| options[name].as_bool().unwrap_or(false);
    Sgd::builder(number("lr"))
        .momentum(number("momentum"))
        .dampening(number("dampening"))
        .weight_decay(number("weight_decay"))
        .nesterov(flag("nesterov"))
        .maximize(flag("maximize"))
}

/// Sets each option of a case by its name. The builders' methods are inherent, so this is no generic function.
macro_rules! with_options {
    ($builder:expr, $options:expr) => {{
        let mut builder = $builder;
        for (name, value) in $options.as_object().unwrap() {
            let number = value.as_f64().unwrap_or(f64::NAN);
            builder = match name.as_str() {
                "lr" => builder,
                "betas" => builder.betas(value[0].as_f64().unwrap(), value[1].as_f64().unwrap()),
                "eps" => builder.eps(number),
                "weight_decay" => builder.weight_decay(number),
                "amsgrad" => builder.amsgrad(value.as_bool().unwrap()),
                "maximize" => builder.maximize(value.as_bool().unwrap()),
                other => panic!("unknown option {other}"),
            };
        }
        builder
    }};
}

fn rmsprop(options: &Value) -> Builder<RmsPropRule> {
    let number = |name: &str, default: f64| options[name].as_f64().unwrap_or(default);
    let flag = |name: &str| options[name].as_bool().unwrap_or(false);
    RmsProp::builder(number("lr", 0.0))
        .alpha(number("alpha", 0.99))
        .eps(number("eps", 1e-8))
        .weight_decay(number("weight_decay", 0.0))
        .momentum(number("momentum", 0.0))
        .centered(flag("centered"))
        .maximize(flag("maximize"))
}

fn adagrad(options: &Value) -> Builder<AdagradRule> {
    let number = |name: &str, default: f64| options[name].as_f64().unwrap_or(default);
    Adagrad::builder(number("lr", 0.0))
        .lr_decay(number("lr_decay", 0.0))
        .weight_decay(number("weight_decay", 0.0))
        .initial_accumulator_value(number("initial_accumulator_value", 0.0))
        .eps(number("eps", 1e-10))
        .maximize(options["maximize"].as_bool().unwrap_or(false))
}

fn lion(options: &Value) -> Builder<LionRule> {
    let number = |name: &str| options[name].as_f64().unwrap_or(0.0);
    let builder = Lion::builder(number("lr"))
        .weight_decay(number("weight_decay"))
        .maximize(options["maximize"].as_bool().unwrap_or(false));
    match options["betas"].as_array() {
        Some(betas) => builder.betas(betas[0].as_f64().unwrap(), betas[1].as_f64().unwrap()),
        None => builder,
    }
}

/// Runs one case of optimizers.json step by step; the greatest distance, and whether all bits are equal.
fn run<R: Rule>(mut builder: Builder<R>, case: &Value) -> (f64, bool) {
    for (index, group) in case["groups"].as_array().into_iter().flatten().enumerate() {
        let names: Vec<_> = group["parameters"].as_array().unwrap().iter().map(|i| format!("p{i}")).collect();
        let group_of_case = ParamGroup::new(format!("g{index}"), move |name| names.iter().any(|own| own == name));
        builder = builder.group(
            group_of_case.lr(group["lr"].as_f64().unwrap()).weight_decay(group["weight_decay"].as_f64().unwrap()),
        );
    }
    let named = parameters(&case["initial"], &case["shapes"], kind(case));
    let mut optimizer = builder.build(&named).unwrap();
    let mut worst = (0.0, true);
    for (step, gradients) in case["gradients"].as_array().unwrap().iter().enumerate() {
        if let Some(lr) = case["lr_at"][step.to_string()].as_f64() {
            optimizer.set_learning_rate(lr).unwrap();
        }
        set_gradients(&mut optimizer, &named, gradients);
        optimizer.step().unwrap();
        for ((_, parameter), expected) in named.iter().zip(case["parameters"][step].as_array().unwrap()) {
            let (far, equal) = distance(&flat(parameter), expected);
            worst = (far.max(worst.0), equal && worst.1);
        }
    }
    worst
}

#[test]
fn every_step_is_pytorchs() {
    let cases = cases(include_str!("../expected/optimizers.json"));
    assert_eq!(cases.len(), 47);
    for case in &cases {
        let options = &case["options"];
        let lr = options["lr"].as_f64().unwrap();
        let (far, equal) = match case["optimizer"].as_str().unwrap() {
            "sgd" => run(sgd(options), case),
            "adam" => run(with_options!(Adam::builder(lr), options), case),
            "adamw" => run(with_options!(AdamW::builder(lr), options), case),
            "rmsprop" => run(rmsprop(options), case),
            "adagrad" => run(adagrad(options), case),
            "lion" => run(lion(options), case),
            other => panic!("no optimizer {other}"),
        };
        let allowed = if kind(case) == Kind::Double { 1e-15 } else { 1e-6 };
        println!("{}: {far:e} apart, bit-equal: {equal}", case["name"]);
        assert!(far <= allowed, "{}: {far:e} apart", case["name"]);
    }
}

/// A gradient laid out unlike its parameter: PyTorch's own fused optimizers pair the wrong elements.
#[test]
fn a_gradient_of_another_layout_is_paired_by_index() {
    let build = |contiguous: bool| -> Named {
        let values = Tensor::arange(6, (Kind::Double, Device::Cpu)).reshape([2, 3]).transpose(0, 1);
        let values = if contiguous { values.contiguous() } else { values };
        vec![("w".into(), values.detach().set_requires_grad(true))]
    };
    let gradient = Tensor::arange(6, (Kind::Double, Device::Cpu)).reshape([3, 2]).square();
    let step = |named: &Named| {
        let mut optimizer = Sgd::builder(0.1).momentum(0.9).build(named).unwrap();
        // A gradient that is there before the parameter's layout changes keeps its own.
        let mut parameter = named[0].1.shallow_clone();
        let layout = parameter.detach();
        parameter.set_data(&layout.contiguous());
        optimizer.backward(&(&parameter * &gradient).sum(None)).unwrap();
        parameter.set_data(&layout);
        optimizer.step().unwrap();
        flat(&parameter)
    };
    let transposed = build(false);
    assert_ne!(transposed[0].1.stride(), gradient.stride());
    assert_eq!(step(&transposed), step(&build(true)));
}
