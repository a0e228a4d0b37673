use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
fn train(ctx: &mut Context, _: Config) -> Result<()> {
    let model = ctx.prepare_model(|path| tch::nn::linear(path, 1, 1, Default::default()))?;
    let _ = model.call(|_| 3.5)?;
    Ok(())
}

fn main() {}
