use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[trainloop::main]
async fn main() {}

#[trainloop::main]
fn begin() {}
