use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

struct Plain;

#[derive(TrainState)]
struct State {
    // A number needs `#[state(serde)]`.
    epoch: u64,
    // tch's own optimizer cannot be saved.
    optimizer: tch::nn::Optimizer,
    #[state(serde)]
    plain: Plain,
}

fn main() {}
