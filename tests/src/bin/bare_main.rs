//! A program whose author forgot `#[trainloop::main]`.

use std::path::PathBuf;

use trainloop::prelude::*;

#[train_loop(strategy = ddp)]
#[allow(clippy::unnecessary_wraps)] // a train loop returns a `Result`
fn train(ctx: &mut Context<()>, _config: ()) -> Result<()> {
    println!("rank {} trains", ctx.rank());
    Ok(())
}

fn main() -> Result<()> {
    println!("the body of main runs");
    let mut arguments = std::env::args().skip(1);
    let storage = PathBuf::from(arguments.next().unwrap_or_default());
    let workers: usize = arguments.next().unwrap_or_default().parse().map_err(Error::other)?;
    TorchTrainer::<train>::new(())
        .scaling(ScalingConfig::workers(workers))
        .run(RunConfig::default().storage(storage))
        .fit()?;
    Ok(())
}
