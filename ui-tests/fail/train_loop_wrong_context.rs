use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
fn wrong(_: &mut Config, _: Config) -> Result<()> {
    Ok(())
}

fn main() {}
