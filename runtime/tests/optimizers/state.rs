//! Saving and loading.

use std::ops::Range;

use tch::{Device, Kind, Tensor};
use trainloop::Result;
use trainloop::optim::{
    Adagrad, Adam, AdamW, Builder, GroupState, Lion, Optimizer, OptimizerState, RmsProp, Rule, Sgd,
};

use crate::{Named, flat, late, net};

fn train<R: Rule>(optimizer: &mut Optimizer<R>, named: &Named, steps: Range<i64>) {
    for step in steps {
        let used = if step < 4 { 2 } else { 3 };
        let loss = named.iter().take(used).map(|(_, p)| (p.sin() * (step + 1)).exp().sum(Kind::Double)).sum::<Tensor>();
        optimizer.backward_step(&loss).unwrap();
    }
}

fn bits(named: &Named) -> Vec<Vec<u64>> {
    named.iter().map(|(_, tensor)| flat(tensor).into_iter().map(f64::to_bits).collect()).collect()
}

/// Trains 3 steps, saves, trains 5 more; then a fresh optimizer over a copy of the weights at the save does the same 5.
fn resumes<R: Rule>(build: impl Fn(&Named) -> Result<Optimizer<R>>, other: impl Fn(&Named) -> Result<Optimizer<R>>) {
    let named = net();
    let mut optimizer = build(&named).unwrap();
    train(&mut optimizer, &named, 0..3);
    optimizer.scale_learning_rates(0.5).unwrap();
    let weights: Named =
        named.iter().map(|(name, t)| (name.clone(), t.detach().copy().set_requires_grad(true))).collect();
    let OptimizerState { kind, groups, tensors } = optimizer.state().unwrap();
    assert!(!tensors.iter().any(|(name, _)| name.starts_with("late/")));
    // Through text and back, as a checkpoint takes it.
    let groups: Vec<GroupState> = serde_json::from_str(&serde_json::to_string(&groups).unwrap()).unwrap();
    let state = OptimizerState { kind, groups, tensors };
    train(&mut optimizer, &named, 3..8);

    let mut again = other(&weights).unwrap();
    again.load_state(&state).unwrap();
    train(&mut again, &weights, 3..8);
    assert_eq!(bits(&weights), bits(&named), "{}", R::NAME);
    let rates = |optimizer: &Optimizer<R>| -> Vec<_> {
        optimizer.groups().iter().map(|g| (g.learning_rate(), g.initial_learning_rate())).collect()
    };
    assert_eq!(rates(&again), rates(&optimizer));
    let states = (again.state().unwrap(), optimizer.state().unwrap());
    assert_eq!(states.0.groups, states.1.groups);
    for ((name, a), (other, b)) in states.0.tensors.iter().zip(&states.1.tensors) {
        assert_eq!((name, flat(a), a.kind()), (other, flat(b), b.kind()));
    }
}

#[test]
fn a_loaded_state_goes_on_bit_for_bit() {
    resumes(|p| Sgd::builder(0.01).build(p), |p| Sgd::builder(0.9).build(p));
    resumes(|p| Sgd::builder(0.01).momentum(0.9).nesterov(true).build(p), |p| Sgd::builder(0.01).build(p));
    resumes(
        |p| Sgd::builder(0.01).momentum(0.9).dampening(0.5).group(late()).build(p),
        |p| Sgd::builder(0.01).group(late()).build(p),
    );
    resumes(|p| Adam::builder(0.01).betas(0.8, 0.9).build(p), |p| Adam::builder(0.5).amsgrad(true).build(p));
    resumes(|p| AdamW::builder(0.01).build(p), |p| AdamW::builder(0.01).build(p));
    resumes(
        |p| AdamW::builder(0.01).amsgrad(true).group(late()).build(p),
        |p| AdamW::builder(0.01).group(late()).build(p),
    );
    resumes(|p| RmsProp::builder(0.01).build(p), |p| RmsProp::builder(0.5).momentum(0.5).build(p));
    resumes(
        |p| RmsProp::builder(0.01).centered(true).momentum(0.9).group(late()).build(p),
        |p| RmsProp::builder(0.01).group(late()).build(p),
    );
    resumes(|p| RmsProp::builder(0.01).centered(true).build(p), |p| RmsProp::builder(0.01).build(p));
    // `late` begins after the load: its sum begins at the loaded option's value.
    resumes(
        |p| Adagrad::builder(0.01).lr_decay(0.1).initial_accumulator_value(0.3).build(p),
        |p| Adagrad::builder(0.01).build(p),
    );
    resumes(
        |p| Lion::builder(0.01).weight_decay(0.1).group(late()).build(p),
        |p| Lion::builder(0.5).group(late()).build(p),
    );
}

/// Loading into an optimizer that has trained further takes it back, and a parameter that had no state loses its own.
#[test]
fn loading_takes_a_trained_optimizer_back() {
    let named = net();
    let mut optimizer = Sgd::builder(0.01).momentum(0.9).build(&named).unwrap();
    train(&mut optimizer, &named, 0..3);
    let state = optimizer.state().unwrap();
    train(&mut optimizer, &named, 3..8);
    optimizer.load_state(&state).unwrap();
    let tensors: Vec<_> = optimizer.state().unwrap().tensors.into_iter().map(|(name, _)| name).collect();
    assert_eq!(tensors, ["body.w/momentum_buffer", "body.b/momentum_buffer"]);
}

#[test]
fn a_state_is_a_snapshot_by_pytorchs_names() {
    let named = net();
    let mut optimizer = Adam::builder(0.01).amsgrad(true).build(&named).unwrap();
    train(&mut optimizer, &named, 0..2);
    let state = optimizer.state().unwrap();
    let found: Vec<_> = state.tensors.iter().map(|(name, _)| name.as_str()).collect();
    let slots = ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"];
    let expected: Vec<_> = ["body.w", "body.b"].iter().flat_map(|p| slots.map(|slot| format!("{p}/{slot}"))).collect();
    assert_eq!(found, expected);
    let before: Vec<_> = state.tensors.iter().map(|(_, tensor)| flat(tensor)).collect();
    assert_eq!((&before[0][..], state.tensors[0].1.kind()), (&[2.0][..], Kind::Float));
    train(&mut optimizer, &named, 2..3);
    let after: Vec<_> = state.tensors.iter().map(|(_, tensor)| flat(tensor)).collect();
    assert_eq!(before, after);
    assert_eq!(state.groups[0].hyperparameters["betas"], serde_json::json!([0.9, 0.999]));
}

#[test]
fn each_rule_keeps_pytorchs_tensors() {
    fn slots<R: Rule>(builder: Builder<R>) -> Vec<String> {
        let named = net();
        let mut optimizer = builder.build(&named).unwrap();
        train(&mut optimizer, &named, 0..1);
        let tensors = optimizer.state().unwrap().tensors.into_iter();
        tensors.filter_map(|(name, _)| name.strip_prefix("body.b/").map(str::to_owned)).collect()
    }
    assert_eq!(slots(RmsProp::builder(0.1)), ["square_avg"]);
    assert_eq!(slots(RmsProp::builder(0.1).momentum(0.1)), ["square_avg", "momentum_buffer"]);
    assert_eq!(slots(RmsProp::builder(0.1).centered(true)), ["square_avg", "grad_avg"]);
    let all = slots(RmsProp::builder(0.1).centered(true).momentum(0.1));
    assert_eq!(all, ["square_avg", "momentum_buffer", "grad_avg"]);
    // Two of one shape: each under its own name.
    let named = net();
    let mut optimizer = RmsProp::builder(0.1).centered(true).momentum(0.1).build(&named).unwrap();
    optimizer.backward_step(&named[0].1.sum(Kind::Double)).unwrap();
    for (name, tensor) in optimizer.state().unwrap().tensors {
        let expected = match name.as_str() {
            "body.w/momentum_buffer" => 1.0 / (0.01_f64 - 0.0001).sqrt(),
            _ => 0.01,
        };
        assert!(flat(&tensor).iter().all(|value| (value - expected).abs() < 1e-5), "{name}");
    }
    assert_eq!(slots(Adagrad::builder(0.1)), ["step", "sum"]);
    assert_eq!(slots(Lion::builder(0.1)), ["exp_avg"]);
}

type Change = fn(&mut OptimizerState);

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let state = |change: Change| {
        let named = net();
        let mut optimizer = Adam::builder(0.02).group(late()).build(&named).unwrap();
        train(&mut optimizer, &named, 0..5);
        let mut state = optimizer.state().unwrap();
        change(&mut state);
        state
    };
    let cases: [(Change, &str); 14] = [
        (|s| s.kind = "AdamW".into(), "one of AdamW"),
        (|s| s.groups[1].name = "head".into(), "its groups are default, head"),
        (|s| s.groups.truncate(1), "its groups are default, and"),
        (|s| s.groups[0].parameters[0] = "stem.w".into(), "group `default`: the model has no parameter `stem.w`"),
        (|s| s.groups[0].parameters.truncate(1), "group `default`: it knows no parameter `body.b`"),
        (|s| s.groups[0].hyperparameters["lr"] = (-1.0).into(), "lr is -1"),
        (|s| s.groups[0].hyperparameters["momentum"] = 0.5.into(), "unknown field `momentum`"),
        (|s| s.groups[1].initial_lr = f64::NAN, "initial_lr is NaN"),
        (|s| s.groups[0].hyperparameters["amsgrad"] = true.into(), "`body.w/max_exp_avg_sq` is missing"),
        (|s| drop(s.tensors.remove(0)), "`body.w/step` is missing"),
        (|s| s.tensors[1].0 = "body.w/exp".into(), "`body.w/exp_avg` is missing"),
        (
            |s| s.tensors[1].1 = Tensor::zeros([5], (Kind::Double, Device::Cpu)),
            "is Double [5]; the model needs Double [6]",
        ),
        (|s| s.tensors[1].1 = Tensor::zeros([6], tch::kind::FLOAT_CPU), "is Float [6]; the model needs Double [6]"),
        (|s| s.tensors.push(("x/step".into(), Tensor::from(1.0f32))), "`x/step` belongs to no parameter"),
    ];
    let named = net();
    let mut optimizer = Adam::builder(0.01).group(late()).build(&named).unwrap();
    train(&mut optimizer, &named, 0..2);
    let picture = |optimizer: &Optimizer<_>| {
        let state: OptimizerState = optimizer.state().unwrap();
        let tensors: Vec<_> = state.tensors.iter().map(|(name, tensor)| (name.clone(), flat(tensor))).collect();
        (state.groups, tensors)
    };
    let before = picture(&optimizer);
    for (change, words) in cases {
        let error = optimizer.load_state(&state(change)).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("into Adam: "), "{error}");
        assert_eq!(picture(&optimizer), before, "{words}");
    }
    optimizer.load_state(&state(|_| ())).unwrap();
    assert_eq!(optimizer.learning_rate().to_bits(), 0.02f64.to_bits());
}
