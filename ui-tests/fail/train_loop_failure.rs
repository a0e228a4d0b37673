use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(failure = 3)]
fn number(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(failure(max_failure = 3))]
fn misspelt(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(failure(max_failures = -1))]
fn as_in_ray(_: Config) -> Result<()> {
    Ok(())
}

fn main() {}
