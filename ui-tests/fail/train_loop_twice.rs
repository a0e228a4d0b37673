use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(TrainState)]
struct State;

#[train_loop]
fn contexts(_: &mut Context, _: &mut Context) -> Result<()> {
    Ok(())
}

#[train_loop]
fn states(_: &mut Context, _: &mut State, _: &mut State) -> Result<()> {
    Ok(())
}

#[train_loop]
fn devices(_: Device, _: Device) -> Result<()> {
    Ok(())
}

#[train_loop]
fn checkpoints(_: Option<Checkpoint>, _: Option<Checkpoint>) -> Result<()> {
    Ok(())
}

#[train_loop]
fn configs(_: Config, _: u64) -> Result<()> {
    Ok(())
}

fn main() {}
