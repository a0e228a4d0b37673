use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct Wrong {
    #[metric(reduce = mean)]
    epoch: u64,
    #[metric(reduce = sum)]
    name: String,
    #[metric(reduce = max)]
    curve: Vec<f64>,
}

fn main() {}
