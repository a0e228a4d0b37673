use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

struct Plain;

#[train_loop]
fn train(ctx: &mut Context, _: Config) -> Result<()> {
    ctx.report_with((), &Plain)?;
    ctx.report_with((), "folder")
}

fn main() {}
