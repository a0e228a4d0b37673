//! The optimizers against PyTorch's own numbers, their state, their groups, and what they refuse.

mod clipping;
mod ema;
mod expected;
mod refusals;
mod scaler;
mod state;

use tch::nn::{self, VarStore};
use tch::{Device, Kind, Tensor};
use trainloop::optim::{AdamW, Group, ParamGroup, Sgd};

type Named = Vec<(String, Tensor)>;

fn flat(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// Three parameters; `late` is in the loss from step 4 on alone.
fn net() -> Named {
    let values = |n: i64| (Tensor::arange(n, (Kind::Double, Device::Cpu)) - 1.3).set_requires_grad(true);
    vec![("body.w".into(), values(6)), ("body.b".into(), values(2)), ("late".into(), values(3))]
}

fn late() -> ParamGroup {
    ParamGroup::new("late", |name| name == "late").lr(0.003).weight_decay(0.2)
}

#[test]
fn each_group_has_its_own_rate() {
    let named = net();
    let mut optimizer = Sgd::builder(0.1).group(late()).build(&named).unwrap();
    let rates = |optimizer: &Sgd| optimizer.groups().iter().map(Group::learning_rate).collect::<Vec<_>>();
    assert_eq!(rates(&optimizer), [0.1, 0.003]);
    optimizer.scale_learning_rates(0.5).unwrap();
    assert_eq!(rates(&optimizer), [0.05, 0.0015]);
    optimizer.scale_learning_rates(0.5).unwrap();
    assert_eq!(rates(&optimizer), [0.05, 0.0015]);
    optimizer.set_group_learning_rate("late", 0.7).unwrap();
    assert_eq!(rates(&optimizer), [0.05, 0.7]);
    optimizer.set_learning_rate(0.2).unwrap();
    assert_eq!(rates(&optimizer), [0.2, 0.2]);
    let members: Vec<Vec<_>> = optimizer.groups().iter().map(|group| group.parameter_names().collect()).collect();
    assert_eq!(members, [vec!["body.w", "body.b"], vec!["late"]]);
}

#[test]
fn without_gradients_the_norm_is_zero() {
    let mut optimizer = Sgd::builder(0.1).build(&net()).unwrap();
    assert_eq!(flat(&optimizer.clip_grad_norm(1.0).unwrap()), [0.0]);
}

#[test]
fn a_var_store_trains() {
    let vars = VarStore::new(Device::Cpu);
    let zeros = nn::LinearConfig { ws_init: nn::Init::Const(0.0), bs_init: Some(nn::Init::Const(0.0)), bias: true };
    let net = nn::linear(vars.root() / "layer", 2, 1, zeros);
    let x = Tensor::from_slice2(&[[0.0f32, 1.0], [1.0, 0.0], [1.0, 1.0]]);
    let y = x.sum_dim_intlist(1, true, Kind::Float) * 2.0 - 1.0;
    let mut optimizer = AdamW::builder(0.02).weight_decay(0.0).build(&vars).unwrap();
    let loss = || (x.apply(&net) - &y).square().mean(Kind::Float);
    for _ in 0..1000 {
        optimizer.backward_step(&loss()).unwrap();
    }
    assert!(flat(&loss())[0] < 1e-3);
    optimizer.zero_grad().unwrap();
    assert!(vars.trainable_variables().iter().all(|tensor| !tensor.grad().defined()));
}
