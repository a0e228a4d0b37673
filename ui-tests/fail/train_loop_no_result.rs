use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
fn nothing(_: &mut Context, _: Config) {}

fn main() {}
