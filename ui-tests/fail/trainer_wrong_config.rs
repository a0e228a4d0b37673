use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
fn train(_: &mut Context, _: Config) -> Result<()> {
    Ok(())
}

fn main() {
    let _ = TorchTrainer::<train>::new(3);
}
