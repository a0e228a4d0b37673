use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize, Clone)]
struct Underived;

fn main() {
    let cli = Cli::<Underived>::parse();
    let _ = cli.config;
}
