//! What cannot be right is an error that says so.

use tch::nn::VarStore;
use tch::{Device, Tensor};
use trainloop::optim::{Adam, AdamW, Builder, NormType, ParamGroup, Rule, Sgd};

use crate::{Named, late, net};

fn refused<R: Rule>(builder: Builder<R>) -> String {
    builder.build(&net()).unwrap_err().to_string()
}

#[test]
fn options_out_of_range_are_refused() {
    let nan = f64::NAN;
    let cases = [
        (refused(Sgd::builder(-0.1)), "Sgd, group `default`: lr is -0.1; it must be a finite number of at least 0"),
        (refused(AdamW::builder(nan)), "AdamW, group `default`: lr is NaN"),
        (refused(Sgd::builder(0.1).momentum(-1.0)), "momentum is -1"),
        (refused(Sgd::builder(0.1).weight_decay(-1.0)), "weight_decay is -1"),
        (refused(Sgd::builder(0.1).dampening(nan)), "dampening is NaN"),
        (refused(Sgd::builder(0.1).nesterov(true)), "nesterov needs a momentum"),
        (refused(Sgd::builder(0.1).nesterov(true).momentum(0.9).dampening(0.1)), "they are 0.9 and 0.1"),
        (refused(Adam::builder(0.1).betas(1.0, 0.9)), "the first of betas is 1"),
        (refused(Adam::builder(0.1).betas(0.9, -0.1)), "the second of betas is -0.1"),
        (refused(Adam::builder(0.1).betas(0.9, nan)), "the second of betas is NaN"),
        (refused(Adam::builder(0.1).eps(-1e-8)), "eps is -0.00000001"),
        (refused(Adam::builder(0.1).weight_decay(f64::INFINITY)), "weight_decay is inf"),
        (refused(Adam::builder(0.1).group(late().lr(-2.0))), "Adam, group `late`: lr is -2"),
    ];
    for (error, words) in cases {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn groups_that_cannot_be_right_are_refused() {
    let head = |name: &str| ParamGroup::new(name, |name| name.starts_with("head"));
    let error = refused(Sgd::builder(0.1).group(head("head")));
    assert!(error.contains("group `head`: it takes no parameter"), "{error}");
    assert!(error.ends_with("the parameters are `body.w`, `body.b`, `late`"), "{error}");
    // The first group takes all that the second would.
    assert!(
        refused(Sgd::builder(0.1).group(late()).group(ParamGroup::new("x", |name| name == "late"))).contains("`x`")
    );
    assert!(refused(Sgd::builder(0.1).group(late()).group(late())).contains("two groups named `late`"));
    assert!(refused(Sgd::builder(0.1).group(head("default"))).contains("two groups named `default`"));
}

#[test]
fn parameters_that_cannot_be_trained_are_refused() {
    let leaf = || Tensor::zeros([4, 2], tch::kind::FLOAT_CPU).set_requires_grad(true);
    let refused = |named: Vec<(&str, Tensor)>| {
        let named: Named = named.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
        AdamW::builder(0.1).build(&named).unwrap_err().to_string()
    };
    let twice = leaf();
    let cases = [
        (refused(vec![]), "AdamW: there are no parameters to train"),
        (refused(vec![("w", leaf()), ("w", leaf())]), "two parameters are named `w`"),
        (refused(vec![("a", twice.shallow_clone()), ("b", twice)]), "parameters `a` and `b` are one and the same"),
        (refused(vec![("n", Tensor::zeros([2], tch::kind::INT64_CPU))]), "parameter `n` is of dtype Int64"),
        (refused(vec![("w", leaf() * 2.0)]), "not a leaf"),
        (refused(vec![("w", leaf().detach().narrow(1, 0, 1).set_requires_grad(true))]), "gaps or overlaps"),
        (refused(vec![("w", Tensor::new())]), "`w` is undefined"),
    ];
    for (error, words) in cases {
        assert!(error.contains(words), "{error}");
    }
    assert!(AdamW::builder(0.1).build(&VarStore::new(Device::Cpu)).is_err());
}

#[test]
fn wrong_calls_are_refused() {
    let named = net();
    let mut optimizer = Sgd::builder(0.1).group(late()).build(&named).unwrap();
    let error = optimizer.set_group_learning_rate("head", 0.1).unwrap_err().to_string();
    assert_eq!(error, "Sgd has no group `head`; it has `default`, `late`");
    assert!(optimizer.set_learning_rate(f64::NAN).is_err());
    assert!(optimizer.set_group_learning_rate("late", -1.0).is_err());
    assert!(optimizer.clip_grad_norm(-1.0).is_err());
    assert!(optimizer.clip_grad_norm(f64::NAN).is_err());
    assert!(optimizer.clip_grad_norm_with(1.0, NormType::P(0.0)).is_err());
    assert!(optimizer.backward(&named[0].1).is_err(), "a loss that is no scalar");
}
