use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Config, Clone)]
struct Plain {
    lr: f64,
}

#[derive(Serialize, Deserialize, Clone)]
struct Underived;

fn main() {
    let _ = Cli::<Underived>::parse();
}
