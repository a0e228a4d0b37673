use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Config, Serialize, Deserialize, Clone)]
struct Unnamed(f64, u64);

#[derive(Config, Serialize, Deserialize, Clone)]
enum Variants {
    A,
}

#[derive(Config, Serialize, Deserialize, Clone)]
struct Generic<T> {
    value: T,
}

#[derive(Config)]
union Overlaid {
    a: u8,
}

fn main() {}
