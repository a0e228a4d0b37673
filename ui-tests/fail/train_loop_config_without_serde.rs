use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

struct Plain;

#[train_loop]
fn plain(_: &mut Context, _: Plain) -> Result<()> {
    Ok(())
}

fn main() {}
