use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(checkpoint(keep = 0, score = best(loss), every = "10"))]
fn wrong_values(_: &mut Context, _: Config) -> Result<()> {
    Ok(())
}

#[train_loop(checkpoint = 3)]
fn no_options(_: &mut Context, _: Config) -> Result<()> {
    Ok(())
}

#[train_loop(checkpoint(kep = 3, every = 0))]
fn misspelt(_: &mut Context, _: Config) -> Result<()> {
    Ok(())
}

fn main() {}
