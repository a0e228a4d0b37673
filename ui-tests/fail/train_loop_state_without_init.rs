use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[derive(TrainState)]
struct State {
    #[state(serde)]
    epoch: u64,
}

#[train_loop]
fn train(_: &mut Context, _: &mut State, _: Config) -> Result<()> {
    Ok(())
}

fn main() {}
