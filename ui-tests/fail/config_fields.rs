use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Config, Serialize, Deserialize, Clone)]
#[config(long = "x")]
struct Wrong {
    #[config(defualt = 3e-3)]
    a: f64,
    #[config]
    b: f64,
    #[config(default)]
    c: f64,
    #[config(default = 1.0, default = 2.0)]
    d: f64,
    #[config(long = batch)]
    e: usize,
    #[config(long = "--batch size")]
    f: usize,
    #[config(default = 3)]
    g: Option<u64>,
}

fn main() {}
