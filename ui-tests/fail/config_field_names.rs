use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Config, Serialize, Deserialize, Clone)]
struct Unnamed {
    __: u64,
    _2: f64,
}

fn main() {}
