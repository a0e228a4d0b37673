use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize, Clone)]
enum Mode {
    Fast,
    Exact,
}

#[derive(Config, Serialize, Deserialize, Clone)]
struct Unreadable {
    mode: Mode,
    modes: Vec<Mode>,
    nested: Option<Vec<f64>>,
}

#[derive(Config, Serialize, Deserialize, Clone)]
struct Defaults {
    #[config(default = 32)]
    lr: f64,
    #[config(default = "many")]
    epochs: u64,
    #[config(default = std::path::PathBuf::from("data"))]
    folder: std::path::PathBuf,
}

fn main() {}
