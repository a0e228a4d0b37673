use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

struct State;

impl InitState<(), Config> for State {
    fn init(_: &mut Context, _: &Config) -> Result<Self> {
        Ok(Self)
    }
}

#[train_loop]
fn train(_: &mut Context, _: &mut State, _: Config) -> Result<()> {
    Ok(())
}

fn main() {}
