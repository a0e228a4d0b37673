use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(strategy = single, workers = 4)]
fn four(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(strategy = single, workers = 1..=2)]
fn range(_: Config) -> Result<()> {
    Ok(())
}

fn main() {}
