use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Config, Serialize, Deserialize, Clone)]
struct Options {
    epochs: u64,
}

#[trainloop::main]
fn main(cli: Cli<Options>, workers: usize, name: String) -> Result<()> {
    println!("{workers} {name} {}", cli.config.epochs);
    Ok(())
}
