use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize, Clone)]
struct NotAConfig {
    epochs: u64,
}

#[trainloop::main]
fn main(cli: Cli<NotAConfig>) -> Result<()> {
    println!("{}", cli.config.epochs);
    Ok(())
}

mod plain {
    #[trainloop::main]
    pub fn main(arguments: Vec<String>) {
        drop(arguments);
    }
}

mod lent {
    use trainloop::prelude::*;

    #[derive(Config, serde::Serialize, serde::Deserialize, Clone)]
    struct Options;

    #[trainloop::main]
    pub fn main(cli: &Cli<Options>) {
        let _ = cli;
    }
}

mod unknown {
    use trainloop::prelude::*;

    #[trainloop::main]
    pub fn main(cli: Cli<Optoins>) {
        drop(cli);
    }
}
