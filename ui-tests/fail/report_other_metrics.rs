use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct M {
    loss: f64,
}

#[train_loop]
fn train(ctx: &mut Context<M>, _: Config) -> Result<()> {
    ctx.report(0.5)?;
    ctx.report(M { los: 0.5 })
}

fn main() {
    let outcome = TorchTrainer::<train>::new(Config).fit().unwrap();
    println!("{}", outcome.metrics.unwrap().lss);
}
