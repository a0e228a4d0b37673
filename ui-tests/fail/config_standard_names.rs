use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Config, Serialize, Deserialize, Clone)]
struct Standard {
    config: Option<String>,
    set: Vec<String>,
    resume: bool,
    max_failures: u64,
    quiet: bool,
    #[config(long = "verbose")]
    chatty: bool,
    #[config(long = "config")]
    net: String,
}

fn main() {}
