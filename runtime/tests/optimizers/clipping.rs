//! Clipping, by the numbers that `expected/clip.py` had from PyTorch.

use serde_json::Value;
use tch::{Device, Kind, Tensor};
use trainloop::optim::{NormType, Sgd};

use crate::expected::{cases, distance, kind, set_gradients};
use crate::{Named, flat};

const JSON: &str = include_str!("../expected/clip.json");

/// Parameters of zeros with the gradients of a case.
fn optimizer(case: &Value) -> (Named, Sgd) {
    let shapes = case["shapes"].as_array().unwrap();
    let named: Named = (0..shapes.len())
        .map(|i| {
            let shape: Vec<i64> = serde_json::from_value(shapes[i].clone()).unwrap();
            (format!("p{i}"), Tensor::zeros(shape, (kind(case), Device::Cpu)).set_requires_grad(true))
        })
        .collect();
    let mut optimizer = Sgd::builder(0.1).build(&named).unwrap();
    set_gradients(&mut optimizer, &named, &case["gradients"]);
    (named, optimizer)
}

/// How far the gradients are from those that the case has after clipping, and whether all bits are equal.
fn gradients_apart(named: &Named, case: &Value) -> (f64, bool) {
    let mut worst = (0.0_f64, true);
    for ((_, parameter), clipped) in named.iter().zip(case["clipped"].as_array().unwrap()) {
        assert_eq!(parameter.grad().defined(), !clipped.is_null());
        if !clipped.is_null() {
            let (far, equal) = distance(&flat(&parameter.grad()), clipped);
            worst = (worst.0.max(far), worst.1 && equal);
        }
    }
    worst
}

#[test]
fn clipping_is_pytorchs() {
    let cases = cases(JSON);
    assert_eq!(cases.len(), 13);
    for case in &cases {
        let (named, mut optimizer) = optimizer(case);
        let max_norm = case["max_norm"].as_f64().unwrap();
        let norm = match case["norm_type"].as_str().unwrap() {
            "1" => optimizer.clip_grad_norm_with(max_norm, NormType::L1),
            "2" => optimizer.clip_grad_norm(max_norm),
            "inf" => optimizer.clip_grad_norm_with(max_norm, NormType::Infinity),
            order => optimizer.clip_grad_norm_with(max_norm, NormType::P(order.parse().unwrap())),
        };
        let allowed = if kind(case) == Kind::Double { 1e-15 } else { 1e-6 };
        let norm = distance(&flat(&norm.unwrap()), &Value::from(vec![case["total_norm"].clone()]));
        let clipped = gradients_apart(&named, case);
        let (far, equal) = (norm.0.max(clipped.0), norm.1 && clipped.1);
        println!("norm {} to {max_norm}: {far:e} apart, bit-equal: {equal}", case["norm_type"]);
        assert!(far <= allowed, "norm {} to {max_norm}: {far:e} apart", case["norm_type"]);
    }
}

#[test]
fn clipping_by_value_is_pytorchs() {
    let file: Value = serde_json::from_str(JSON).unwrap();
    let cases = file["values"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let (named, mut optimizer) = optimizer(case);
        optimizer.clip_grad_value(case["clip_value"].as_f64().unwrap()).unwrap();
        assert_eq!(gradients_apart(&named, case), (0.0, true), "{case}");
    }
}

#[test]
fn a_norm_that_is_not_finite_is_refused_where_it_must_be_and_changes_nothing() {
    let file: Value = serde_json::from_str(JSON).unwrap();
    let refused = file["nonfinite"].as_array().unwrap();
    assert_eq!(refused.len(), 9);
    let case = &file["cases"][0];
    for bad in refused {
        let norm_type = match bad["norm_type"].as_str().unwrap() {
            "1" => NormType::L1,
            "2" => NormType::L2,
            _ => NormType::Infinity,
        };
        let (named, mut optimizer) = optimizer(case);
        let value: f64 = bad["value"].as_str().unwrap().parse().unwrap();
        let mut first = named[0].1.grad().get(0).get(0);
        let _ = tch::no_grad(|| first.fill_(value));
        let bits = || named.iter().flat_map(|(_, p)| flat(&p.grad())).map(f64::to_bits).collect::<Vec<_>>();
        let before = bits();
        let error = optimizer.clip_finite_grad_norm(1.0, norm_type).unwrap_err().to_string();
        let norm = if value.is_nan() { "NaN" } else { "inf" };
        assert!(error.contains(&format!("{norm_type}-norm of the gradients is {norm}, so they cannot")), "{error}");
        assert_eq!(bits(), before);
        // Without the demand the norm is given, as PyTorch's, and the gradients are of no use.
        assert!(!flat(&optimizer.clip_grad_norm_with(1.0, norm_type).unwrap())[0].is_finite());
    }
    let (named, mut optimizer) = optimizer(case);
    let norm = optimizer.clip_finite_grad_norm(1.0, NormType::L1).unwrap();
    assert_eq!(flat(&norm), [case["total_norm"].as_f64().unwrap()]);
    assert!(gradients_apart(&named, case).0 <= 1e-15);
}

#[test]
fn bounds_that_cannot_be_right_are_refused() {
    let file: Value = serde_json::from_str(JSON).unwrap();
    let (_, mut optimizer) = optimizer(&file["cases"][0]);
    for max in [-1.0, f64::NAN, f64::INFINITY] {
        let error = optimizer.clip_grad_value(max).unwrap_err().to_string();
        assert!(error.contains(&format!("values of at most {max}; give a finite number of at least 0")), "{error}");
    }
    assert!(optimizer.clip_finite_grad_norm(-1.0, NormType::L2).is_err());
}
