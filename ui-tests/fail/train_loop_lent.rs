use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
fn owned(_: Context, _: Config) -> Result<()> {
    Ok(())
}

#[train_loop]
fn shared(_: &Context, _: Config) -> Result<()> {
    Ok(())
}

#[train_loop]
fn config(_: &mut Context, _: &Config) -> Result<()> {
    Ok(())
}

#[train_loop]
fn checkpoint(_: &mut Context, _: Config, _: Checkpoint) -> Result<()> {
    Ok(())
}

fn main() {
    let _ = TorchTrainer::<config>::new(Config);
}
