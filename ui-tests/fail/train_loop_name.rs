use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(name = "runs/digits")]
fn folder(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(name = digits)]
fn word(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(name = ".hidden")]
fn hidden(_: Config) -> Result<()> {
    Ok(())
}

fn main() {}
