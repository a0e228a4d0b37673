use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop(use_gpu, backend = nccl)]
fn without_the_feature(_: Config) -> Result<()> {
    Ok(())
}

fn main() {}
