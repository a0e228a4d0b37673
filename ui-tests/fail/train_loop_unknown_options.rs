use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(stratgey = ddp, strategy = dpd, epochs = many, crate = trainloop, crate = trainloop)]
fn misspelt(_: &mut Context, _: Config) -> Result<()> {
    Ok(())
}

fn main() {}
