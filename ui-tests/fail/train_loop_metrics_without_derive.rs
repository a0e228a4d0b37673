use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(Serialize, Deserialize, Clone)]
struct Plain;

#[train_loop]
fn plain(_: &mut Context<Plain>, _: Config) -> Result<()> {
    Ok(())
}

fn main() {}
