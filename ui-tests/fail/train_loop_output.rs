use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

struct Weights;

#[train_loop]
fn without_serde(_: Config) -> Result<Weights> {
    Ok(Weights)
}

#[train_loop]
fn without_a_name(_: Config) -> Result<impl Serialize> {
    Ok(3)
}

fn main() {}
