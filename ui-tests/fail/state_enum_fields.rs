use trainloop::prelude::*;

struct Plain;

#[derive(TrainState)]
enum Types {
    // A number needs `#[state(serde)]`.
    Number(u64),
    Value {
        #[state(serde)]
        plain: Plain,
    },
}

fn main() {}
