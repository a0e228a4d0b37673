use trainloop::prelude::*;
use trainloop::state::{StateReader, StateWriter};

mod module {
    use super::*;

    pub fn save(value: &u64, out: &mut StateWriter) -> Result<()> {
        out.value(value)
    }

    pub fn restore(value: &mut u64, from: &StateReader<'_>) -> Result<()> {
        *value = from.value()?;
        Ok(())
    }
}

#[derive(TrainState)]
struct Rules {
    #[state(with = "module")]
    quoted: u64,
    #[state(with = module, serde)]
    both: u64,
    #[state(with)]
    none: u64,
    #[state(skip, with = module)]
    skipped: u64,
}

fn main() {}
