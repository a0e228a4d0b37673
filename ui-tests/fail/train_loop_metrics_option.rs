use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct M {
    loss: f64,
}

#[train_loop(metrics = M)]
fn beside_a_context(_: &mut Context<M>, _: Config) -> Result<()> {
    Ok(())
}

#[train_loop(metrics = "M")]
fn string(_: Config) -> Result<()> {
    Ok(())
}

#[train_loop(metrics = Config)]
fn no_metrics(_: Config) -> Result<()> {
    Ok(())
}

fn main() {}
