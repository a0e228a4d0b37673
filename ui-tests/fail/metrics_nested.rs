use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(Serialize, Deserialize, Clone)]
struct Plain;

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct Inner {
    loss: f64,
}

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct NotMetrics {
    #[metric(nested)]
    plain: Plain,
}

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct TwoReductions {
    #[metric(nested, reduce = mean)]
    inner: Inner,
}

fn main() {}
