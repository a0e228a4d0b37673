use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(backend = glo)]
fn misspelt(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(backend = "gloo")]
fn string(_: Config) -> Result<()> {
    Ok(())
}

fn main() {}
