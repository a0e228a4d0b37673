//! A callback whose metrics no loop of the binary reports.

use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct Numbers {
    loss: f64,
}

#[callback(report)]
fn misfit(_: &mut Report<Numbers>) {}

#[train_loop]
fn train(ctx: &mut Context<()>, _config: ()) -> Result<()> {
    println!("rank {} trains", ctx.rank());
    ctx.barrier()
}

#[trainloop::main]
fn main() -> Result<()> {
    TorchTrainer::<train>::new(())
        .scaling(ScalingConfig::workers(2))
        .run(RunConfig::named("run").storage("runs"))
        .fit()?;
    Ok(())
}
