//! A program whose `main` takes the command line; prints the config in JSON, as rank 0 got it.

use serde::{Deserialize, Serialize};
use serde_json::json;
use trainloop::prelude::*;

/// Trains nothing
#[derive(Config, Serialize, Deserialize, Debug, Clone)]
struct Options {
    /// Passes over the training data
    epochs: u64,
    /// Learning rate
    #[config(default = 3e-3)]
    lr: f64,
    /// Widths of the hidden layers
    width: Vec<usize>,
    /// What is said of the run
    note: Option<String>,
}

#[train_loop(strategy = ddp)]
fn train(ctx: &mut Context<()>, options: Options) -> Result<(usize, Options)> {
    ctx.barrier()?;
    Ok((ctx.world_size(), options))
}

#[trainloop::main]
fn main(cli: Cli<Options>) -> Result<()> {
    println!("the body of main runs");
    let outcome = TorchTrainer::<train>::new(cli.config.clone())
        .scaling(ScalingConfig::workers(2))
        .run(RunConfig::default().storage("runs").progress(false))
        .command_line(&cli)
        .fit()?;
    let (workers, config) = outcome.output;
    println!("{}", json!({ "workers": workers, "config": config }));
    Ok(())
}
