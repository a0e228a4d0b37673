use trainloop::prelude::*;

#[derive(Config, Clone)]
struct Plain {
    lr: f64,
}

struct Underived;

fn main() {
    let _ = Cli::<Underived>::parse();
}
