use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(TrainState)]
struct Wrong {
    #[state(sered)]
    a: u64,
    #[state(serde, skip)]
    b: u64,
    #[state(serde = yes)]
    c: u64,
    #[state(serde, rename = "../d")]
    d: u64,
    #[state(serde, rename = f)]
    e: u64,
    #[state(serde)]
    f: u64,
    #[state(serde, rename = "f")]
    g: u64,
}

fn main() {}
