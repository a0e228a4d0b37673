use trainloop::prelude::*;

#[derive(TrainState)]
struct State {
    #[state(serde, alias = "own")]
    own: u64,
    #[state(serde, alias = "old", alias = "old")]
    twice: u64,
    #[state(serde, alias = "own")]
    another: u64,
    #[state(serde, alias = "old")]
    disputed: u64,
    #[state(serde, alias = "a/b")]
    path: u64,
    #[state(serde, alias = 3)]
    number: u64,
    #[state(skip, alias = "before")]
    skipped: u64,
}

fn main() {}
