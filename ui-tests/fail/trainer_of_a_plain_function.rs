use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

struct plain;

fn main() {
    let _ = TorchTrainer::<plain>::new(Config);
}
