use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Config, Serialize, Deserialize, Clone)]
struct Options {
    epochs: u64,
}

#[trainloop::main]
fn main(Cli { config, .. }: Cli<Options>) {
    println!("{}", config.epochs);
}

mod any {
    #[trainloop::main]
    pub fn main(cli: impl Sized) {
        drop(cli);
    }
}

mod method {
    #[trainloop::main]
    pub fn main(self) {
        drop(self);
    }
}
