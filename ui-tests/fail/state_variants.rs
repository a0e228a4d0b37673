use trainloop::prelude::*;

#[derive(TrainState)]
enum Variants {
    #[state(serde)]
    Values(u64),
    #[state(rename = "Values")]
    Renamed,
    #[state(alias = "Values")]
    Aliased,
    #[state]
    Bare {
        #[state(serde, alias = "b")]
        a: u64,
        #[state(serde)]
        b: u64,
    },
}

#[derive(TrainState)]
enum Never {}

#[derive(TrainState)]
struct Holder {
    // What is refused gives no message here.
    variants: Variants,
    never: Never,
}

fn main() {}
