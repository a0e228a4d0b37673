use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(use_gpu = 2)]
fn number(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(use_gpu(all))]
fn nested(_: Config) -> Result<()> {
    Ok(())
}

fn main() {}
