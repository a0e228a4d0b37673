use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

use tch::nn::{Linear, Module};

#[train_loop]
fn train(ctx: &mut Context, _: Config) -> Result<()> {
    let model: Model<Linear> = ctx.prepare_model(|path| tch::nn::linear(path, 2, 1, Default::default()))?;
    let x = tch::Tensor::zeros([1, 2], (tch::Kind::Float, ctx.device()));
    // Past the strategy, gradients would not be averaged.
    let _ = model.forward(&x);
    Ok(())
}

fn main() {}
