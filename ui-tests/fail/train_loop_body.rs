use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
fn train(ctx: &mut Context, _: Config) -> Result<()> {
    let epochs: u64 = "3";
    ctx.bariers()?;
    for epoch in 0..epoch_count {
        println!("{epoch}");
    }
    Ok(epochs)
}

fn main() {}
