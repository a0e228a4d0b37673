//! The optimizers against PyTorch's own numbers (`expected/optimizers.py` and `clip.py` make them), their state, and
//! what they refuse.

use serde_json::Value;
use tch::nn::{self, VarStore};
use tch::{Device, Kind, Tensor};
use trainloop::Result;
use trainloop::optim::{
    Adam, AdamOptions, AdamW, Builder, GroupState, NormType, Optimizer, OptimizerState, ParamGroup, Rule, Sgd, SgdRule,
};

type Named = Vec<(String, Tensor)>;

fn cases(json: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(json).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn kind(case: &Value) -> Kind {
    if case["dtype"] == "f64" { Kind::Double } else { Kind::Float }
}

fn tensor(values: &Value, shape: &Value, kind: Kind) -> Tensor {
    let values: Vec<f64> = serde_json::from_value(values.clone()).unwrap();
    let shape: Vec<i64> = serde_json::from_value(shape.clone()).unwrap();
    Tensor::from_slice(&values).to_kind(kind).reshape(shape)
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// Parameters `p0`, `p1`, … with these values.
fn parameters(values: &Value, shapes: &Value, kind: Kind) -> Named {
    let values = values.as_array().unwrap().iter().zip(shapes.as_array().unwrap()).enumerate();
    values.map(|(i, (values, shape))| (format!("p{i}"), tensor(values, shape, kind).set_requires_grad(true))).collect()
}

/// Gives each parameter exactly this gradient, by the backward pass of a sum of products; null gives it none.
fn set_gradients<R: Rule>(optimizer: &mut Optimizer<R>, named: &Named, gradients: &Value) {
    optimizer.zero_grad().unwrap();
    for ((_, parameter), gradient) in named.iter().zip(gradients.as_array().unwrap()) {
        if !gradient.is_null() {
            let gradient = tensor(gradient, &parameter.size().into(), parameter.kind());
            optimizer.backward(&(parameter * gradient).sum(None)).unwrap();
        }
    }
}

/// The greatest distance, relative where the expected number is above 1, and whether all bits are equal.
fn distance(found: &[f64], expected: &Value) -> (f64, bool) {
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

fn adam<R: Rule<Options = AdamOptions>>(options: &Value) -> Builder<R> {
    let mut builder = Optimizer::builder(options["lr"].as_f64().unwrap());
    for (name, value) in options.as_object().unwrap() {
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
    let cases = cases(include_str!("expected/optimizers.json"));
    assert_eq!(cases.len(), 22);
    for case in &cases {
        let options = &case["options"];
        let (far, equal) = match case["optimizer"].as_str().unwrap() {
            "sgd" => run(sgd(options), case),
            "adam" => run::<trainloop::optim::AdamRule>(adam(options), case),
            _ => run::<trainloop::optim::AdamWRule>(adam(options), case),
        };
        let allowed = if kind(case) == Kind::Double { 1e-12 } else { 1e-6 };
        println!("{}: {far:e} apart, bit-equal: {equal}", case["name"]);
        assert!(far <= allowed, "{}: {far:e} apart", case["name"]);
    }
}

#[test]
fn clipping_is_pytorchs() {
    let cases = cases(include_str!("expected/clip.json"));
    assert_eq!(cases.len(), 13);
    for case in &cases {
        let shapes = case["shapes"].as_array().unwrap();
        let named: Named = (0..shapes.len())
            .map(|i| {
                let shape: Vec<i64> = serde_json::from_value(shapes[i].clone()).unwrap();
                (format!("p{i}"), Tensor::zeros(shape, (kind(case), Device::Cpu)).set_requires_grad(true))
            })
            .collect();
        let mut optimizer = Sgd::builder(0.1).build(&named).unwrap();
        set_gradients(&mut optimizer, &named, &case["gradients"]);
        let max_norm = case["max_norm"].as_f64().unwrap();
        let norm = match case["norm_type"].as_str().unwrap() {
            "1" => optimizer.clip_grad_norm_with(max_norm, NormType::L1),
            "2" => optimizer.clip_grad_norm(max_norm),
            "inf" => optimizer.clip_grad_norm_with(max_norm, NormType::Infinity),
            order => optimizer.clip_grad_norm_with(max_norm, NormType::P(order.parse().unwrap())),
        };
        let allowed = if kind(case) == Kind::Double { 1e-12 } else { 1e-6 };
        let (mut far, mut equal) = distance(&flat(&norm.unwrap()), &Value::from(vec![case["total_norm"].clone()]));
        for ((_, parameter), clipped) in named.iter().zip(case["clipped"].as_array().unwrap()) {
            assert_eq!(parameter.grad().defined(), !clipped.is_null());
            if !clipped.is_null() {
                let next = distance(&flat(&parameter.grad()), clipped);
                (far, equal) = (next.0.max(far), next.1 && equal);
            }
        }
        println!("norm {} to {max_norm}: {far:e} apart, bit-equal: {equal}", case["norm_type"]);
        assert!(far <= allowed, "norm {} to {max_norm}: {far:e} apart", case["norm_type"]);
    }
}

#[test]
fn without_gradients_the_norm_is_zero() {
    let mut optimizer = Sgd::builder(0.1).build(&net()).unwrap();
    assert_eq!(flat(&optimizer.clip_grad_norm(1.0).unwrap()), [0.0]);
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

/// Three parameters; `late` is in the loss from step 4 on alone.
fn net() -> Named {
    let values = |n: i64| (Tensor::arange(n, (Kind::Double, Device::Cpu)) - 1.3).set_requires_grad(true);
    vec![("body.w".into(), values(6)), ("body.b".into(), values(2)), ("late".into(), values(3))]
}

fn train<R: Rule>(optimizer: &mut Optimizer<R>, named: &Named, steps: std::ops::Range<i64>) {
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

fn late() -> ParamGroup {
    ParamGroup::new("late", |name| name == "late").lr(0.003).weight_decay(0.2)
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
    let names: Vec<_> = optimizer.state().unwrap().tensors.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["body.w/momentum_buffer", "body.b/momentum_buffer"]);
}

#[test]
fn a_state_is_a_snapshot_by_pytorchs_names() {
    let named = net();
    let mut optimizer = Adam::builder(0.01).amsgrad(true).build(&named).unwrap();
    train(&mut optimizer, &named, 0..2);
    let state = optimizer.state().unwrap();
    let names: Vec<_> = state.tensors.iter().map(|(name, _)| name.as_str()).collect();
    let slots = ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"];
    let expected: Vec<_> = ["body.w", "body.b"].iter().flat_map(|p| slots.map(|slot| format!("{p}/{slot}"))).collect();
    assert_eq!(names, expected);
    let before: Vec<_> = state.tensors.iter().map(|(_, tensor)| flat(tensor)).collect();
    assert_eq!((&before[0][..], state.tensors[0].1.kind()), (&[2.0][..], Kind::Float));
    train(&mut optimizer, &named, 2..3);
    let after: Vec<_> = state.tensors.iter().map(|(_, tensor)| flat(tensor)).collect();
    assert_eq!(before, after);
    assert_eq!(state.groups[0].hyperparameters["betas"], serde_json::json!([0.9, 0.999]));
}

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let state = |change: fn(&mut OptimizerState)| {
        let named = net();
        let mut optimizer = Adam::builder(0.02).group(late()).build(&named).unwrap();
        train(&mut optimizer, &named, 0..5);
        let mut state = optimizer.state().unwrap();
        change(&mut state);
        state
    };
    let cases: [(fn(&mut OptimizerState), &str); 14] = [
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

#[test]
fn each_group_has_its_own_rate() {
    let named = net();
    let mut optimizer = Sgd::builder(0.1).group(late()).build(&named).unwrap();
    let rates = |optimizer: &Sgd| optimizer.groups().iter().map(|group| group.learning_rate()).collect::<Vec<_>>();
    assert_eq!(rates(&optimizer), [0.1, 0.003]);
    optimizer.scale_learning_rates(0.5).unwrap();
    assert_eq!(rates(&optimizer), [0.05, 0.0015]);
    optimizer.scale_learning_rates(0.5).unwrap();
    assert_eq!(rates(&optimizer), [0.05, 0.0015]);
    optimizer.set_group_learning_rate("late", 0.7).unwrap();
    assert_eq!(rates(&optimizer), [0.05, 0.7]);
    optimizer.set_learning_rate(0.2).unwrap();
    assert_eq!(rates(&optimizer), [0.2, 0.2]);
    let names: Vec<Vec<_>> = optimizer.groups().iter().map(|group| group.parameter_names().collect()).collect();
    assert_eq!(names, [vec!["body.w", "body.b"], vec!["late"]]);
}

#[test]
fn a_var_store_trains() {
    let vars = VarStore::new(Device::Cpu);
    let net = nn::linear(vars.root() / "layer", 2, 1, nn::LinearConfig::default());
    let x = Tensor::from_slice2(&[[0.0f32, 1.0], [1.0, 0.0], [1.0, 1.0]]);
    let y = x.sum_dim_intlist(1, true, Kind::Float) * 2.0 - 1.0;
    let mut optimizer = AdamW::builder(0.1).weight_decay(0.0).build(&vars).unwrap();
    let loss = || (x.apply(&net) - &y).square().mean(Kind::Float);
    for _ in 0..300 {
        optimizer.backward_step(&loss()).unwrap();
    }
    assert!(flat(&loss())[0] < 1e-4);
    optimizer.zero_grad().unwrap();
    assert!(vars.trainable_variables().iter().all(|tensor| !tensor.grad().defined()));
}
