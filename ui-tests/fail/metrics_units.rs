use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct M {
    #[metric(unit = s)]
    word: f64,
    #[metric(unit = "")]
    empty: f64,
    #[metric(nested, unit = "s")]
    nested: (),
}

#[train_loop]
fn train(ctx: &mut Context<M>, _: Config) -> Result<()> {
    ctx.report(M { word: 0.5, empty: 0.5, nested: () })
}

fn main() {}
