use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(resume = true)]
fn truth(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(resume = if_exist)]
fn misspelt(_: Config) -> Result<()> {
    Ok(())
}

fn main() {}
