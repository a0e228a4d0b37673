use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

struct Trainer;

impl Trainer {
    #[train_loop]
    fn method(&mut self, _: Config) -> Result<()> {
        Ok(())
    }
}

fn main() {}
