use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
fn train(_: Config) -> Result<()> {
    Ok(())
}

fn main() {
    let trainer = TorchTrainer::<train>::new(Config);
    let trainer = trainer.scaling(ScalingConfig::workers("2"));
    let trainer = trainer.run(RunConfig::named("digits").max_failures(3));
    let _ = trainer.fit();
}
