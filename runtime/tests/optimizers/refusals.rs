//! What cannot be right is an error that says so.

use tch::nn::VarStore;
use tch::{Device, Tensor};
use trainloop::optim::{Adagrad, Adam, AdamW, Builder, Lion, NormType, ParamGroup, RmsProp, Rule, Sgd};
use trainloop::schedule::{OneCycleLr, Schedule};

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
        (refused(Sgd::builder(0.1).momentum(1.0)), "momentum is 1; it must be at least 0 and below 1"),
        (refused(RmsProp::builder(0.1).momentum(1.5)), "RmsProp, group `default`: momentum is 1.5"),
        (refused(RmsProp::builder(0.1).alpha(1.0)), "alpha is 1; it must be at least 0 and below 1"),
        (refused(RmsProp::builder(0.1).eps(-1.0)), "eps is -1"),
        (refused(RmsProp::builder(0.1).weight_decay(nan)), "weight_decay is NaN"),
        (refused(Adagrad::builder(0.1).lr_decay(-0.5)), "Adagrad, group `default`: lr_decay is -0.5"),
        (refused(Adagrad::builder(0.1).initial_accumulator_value(-1.0)), "initial_accumulator_value is -1"),
        (refused(Adagrad::builder(0.1).eps(nan)), "eps is NaN"),
        (refused(Lion::builder(-1.0)), "Lion, group `default`: lr is -1"),
        (refused(Lion::builder(0.1).betas(0.9, 1.0)), "the second of betas is 1"),
        (refused(Lion::builder(0.1).betas(-0.1, 0.9)), "the first of betas is -0.1"),
        (refused(Lion::builder(0.1).weight_decay(-1.0)), "weight_decay is -1"),
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

/// A schedule with a momentum needs an optimizer with one, that has kept it from its first step on.
#[test]
fn a_momentum_that_has_no_place_is_refused() {
    let mut adagrad = Adagrad::builder(0.1).build(&net()).unwrap();
    let error = OneCycleLr::new(10).attach(&mut adagrad).unwrap_err().to_string();
    assert!(error.contains("Adagrad has none; build the schedule with `fixed_momentum`"), "{error}");
    assert!(OneCycleLr::new(10).fixed_momentum().attach(&mut adagrad).is_ok());

    let named = net();
    let mut late_start = RmsProp::builder(0.1).build(&named).unwrap();
    late_start.backward_step(&named[0].1.sum(tch::Kind::Double)).unwrap();
    let error = OneCycleLr::new(10).attach(&mut late_start).unwrap_err().to_string();
    assert!(error.contains("group `default`: the schedule changes the momentum"), "{error}");
    assert_eq!(late_start.groups()[0].options().momentum.to_bits(), 0.0_f64.to_bits());
    let mut in_time = RmsProp::builder(0.1).build(&named).unwrap();
    let mut schedule = OneCycleLr::new(10).attach(&mut in_time).unwrap();
    for _ in 0..10 {
        in_time.backward_step(&named[0].1.sum(tch::Kind::Double)).unwrap();
        schedule.step(&mut in_time).unwrap();
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
fn patterns_take_the_parameters_whose_names_they_match() {
    let optimizer = Sgd::builder(0.1).group(ParamGroup::matching("body.*").lr(0.01)).build(&net()).unwrap();
    let names = |group: usize| optimizer.groups()[group].parameter_names().collect::<Vec<_>>();
    assert_eq!((names(0), names(1)), (vec!["late"], vec!["body.w", "body.b"]));
    assert_eq!((optimizer.groups()[1].name(), optimizer.groups()[1].learning_rate()), ("body.*", 0.01));
    let error = refused(Sgd::builder(0.1).group(ParamGroup::matching("boddy.*")));
    assert!(error.contains("group `boddy.*`: `boddy.*` matches no name of the parameters"), "{error}");
    assert!(error.contains("the nearest are `body.b`, `body.w`"), "{error}");
    // It does match, but an earlier group has taken all of it.
    let both = Sgd::builder(0.1).group(ParamGroup::matching("body.*")).group(ParamGroup::matching("*.w"));
    assert!(refused(both).contains("none that an earlier group has not taken"));
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
