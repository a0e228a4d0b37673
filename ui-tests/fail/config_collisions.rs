use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Config, Serialize, Deserialize, Clone)]
struct Colliding {
    workers: usize,
    gpu: bool,
    r#storage: String,
    name: Option<String>,
    #[config(long = "help")]
    manual: bool,
    batch_size: usize,
    #[config(long = "batch-size")]
    samples: usize,
}

fn main() {}
