use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
fn number(_: &mut Context, _: Config) -> u32 {
    3
}

fn main() {}
