use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(stratgy = ddp, checkpoint(keep = none))]
async fn train(_: &mut Context, _: Config) -> Result<()> {
    Ok(())
}

fn main() {
    let _ = TorchTrainer::<train>::new(Config).fit();
}
