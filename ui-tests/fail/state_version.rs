use trainloop::prelude::*;

const CURRENT: u32 = 2;

#[derive(TrainState)]
#[state(version = 0)]
struct Zero;

#[derive(TrainState)]
#[state(version = "2")]
struct Text;

#[derive(TrainState)]
#[state(version = CURRENT)]
enum Constant {
    A,
}

#[derive(TrainState)]
#[state(version)]
struct None;

#[derive(TrainState)]
struct Field {
    #[state(serde, version = 2)]
    a: u64,
}

fn main() {}
