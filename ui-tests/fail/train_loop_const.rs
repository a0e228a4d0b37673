use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
const fn constant(_: &mut Context, _: Config) -> Result<()> {
    Ok(())
}

fn main() {}
