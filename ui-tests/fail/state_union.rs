use trainloop::prelude::*;

#[derive(TrainState)]
union Either {
    number: u64,
    float: f64,
}

#[derive(TrainState)]
struct Holder {
    either: Either,
}

fn main() {}
