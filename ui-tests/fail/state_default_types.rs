use trainloop::prelude::*;

#[derive(TrainState)]
struct State {
    #[state(serde, default = "3")]
    text: u64,
    // What the derive makes is out of sight.
    #[state(serde, default = self.text)]
    other: u64,
    #[state(serde, default = from.version())]
    hidden: u32,
}

fn main() {}
