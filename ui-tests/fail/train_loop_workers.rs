use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(workers = many)]
fn a_word(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(workers = 2..8)]
fn half_open(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(workers = 8..=2)]
fn backwards(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(workers = 0..=2)]
fn from_none(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(workers = 2.5)]
fn and_a_half(_: Config) -> Result<()> {
    Ok(())
}

fn main() {
    let _ = TorchTrainer::<half_open>::new(Config);
}
