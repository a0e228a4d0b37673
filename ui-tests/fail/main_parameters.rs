use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[trainloop::main(workers = two)]
fn main(arguments: Vec<String>) {}
