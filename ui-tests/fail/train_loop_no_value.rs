use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(strategy)]
fn half_typed(_: &mut Context, _: Config) -> Result<()> {
    Ok(())
}

fn main() {}
