use trainloop::prelude::*;

#[derive(TrainState)]
struct State {
    #[state(skip, default)]
    skipped: u64,
    #[state(serde, default(3))]
    parentheses: u64,
    #[state(serde, default, default = 3)]
    twice: u64,
}

fn main() {}
