use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(Serialize, Deserialize)]
struct Rates {
    lr: f64,
}

#[train_loop]
fn train(_: Rates) -> Result<()> {
    Ok(())
}

fn main() {
    let _ = TorchTrainer::<train>::new(Rates { lr: 0.1, batch_sise: 8 });
    let _ = TorchTrainer::<train>::new(Rates { lr: "0.1" });
    let _ = Config;
}
