use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(strategy = )]
fn option(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(strategy = ddp workers = 2)]
fn comma(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(, workers = 2)]
fn nothing(_: Config) -> Result<()> {
    Ok(())
}

fn main() {
    let _ = TorchTrainer::<option>::new(Config);
    let _ = TorchTrainer::<comma>::new(Config);
}
