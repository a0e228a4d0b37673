use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
fn train(ctx: &mut Context, _: Config) -> Result<()> {
    ctx.on_rank_zero(|_| ctx.report(()));
    Ok(())
}

fn main() {}
