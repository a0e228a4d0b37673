use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(strategy = 3)]
fn number(_: &mut Context, _: Config) -> Result<()> {
    Ok(())
}

fn main() {}
