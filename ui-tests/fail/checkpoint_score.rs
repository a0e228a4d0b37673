use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct EpochMetrics {
    #[metric(reduce = mean)]
    val_accuracy: f64,
    note: String,
}

#[train_loop(checkpoint(keep = 3, score = max(val_acuracy)))]
fn misspelt(_: &mut Context<EpochMetrics>, _: Config) -> Result<()> {
    Ok(())
}

#[train_loop(checkpoint(score = min(note)))]
fn no_number(_: &mut Context<EpochMetrics>, _: Config) -> Result<()> {
    Ok(())
}

fn main() {}
