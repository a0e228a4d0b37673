use trainloop::prelude::*;

#[derive(Config, Clone)]
struct Plain {
    lr: f64,
}

#[derive(Config)]
struct Bare;

#[derive(Config, serde::Serialize, serde::Deserialize)]
struct NotCloned {
    lr: f64,
}

fn main() {
    let _ = Cli::<Plain>::parse().config.lr;
}
