use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
fn parameter<T: Clone>(_: &mut Context, _: T) -> Result<()> {
    Ok(())
}

#[train_loop]
fn argument(_: &mut Context, _: impl Clone) -> Result<()> {
    Ok(())
}

// Naming them gives no message of its own.
fn main() {
    let _ = TorchTrainer::<parameter>::new(Config).fit();
    let _ = TorchTrainer::<argument>::new(Config).scaling(ScalingConfig::workers(2));
}
