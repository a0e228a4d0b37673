use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(Metrics, Clone)]
struct Plain {
    loss: f64,
}

fn main() {}
