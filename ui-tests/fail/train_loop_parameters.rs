use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
fn none() -> Result<()> {
    Ok(())
}

#[train_loop]
fn three(_: &mut Context, _: Config, _: u8) -> Result<()> {
    Ok(())
}

#[train_loop]
fn lifetime(_: &'static mut Context, _: Config) -> Result<()> {
    Ok(())
}

fn main() {}
