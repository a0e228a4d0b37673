use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct Wrong {
    #[metric(reduce = average)]
    a: f64,
    #[metric(reduec = mean)]
    b: f64,
    #[metric]
    c: f64,
    #[metric(reduce = mean, reduce = sum)]
    d: f64,
}

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct Unnamed(f64);

#[derive(Metrics, Serialize, Deserialize, Clone)]
enum Variants {
    A,
}

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct Generic<T> {
    value: T,
}

fn main() {}
