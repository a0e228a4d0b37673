use trainloop::prelude::*;
use trainloop::state::{StateReader, StateWriter};

mod numbers {
    use super::*;

    pub fn save(value: &u64, out: &mut StateWriter) -> Result<()> {
        out.value(value)
    }

    pub fn restore(value: &mut u64, from: &StateReader<'_>) -> Result<()> {
        *value = from.value()?;
        Ok(())
    }
}

mod half {
    use super::*;

    pub fn save(value: &u64, out: &mut StateWriter) -> Result<()> {
        out.value(value)
    }
}

#[derive(TrainState)]
struct State {
    // The module saves numbers.
    #[state(with = numbers)]
    text: String,
    // There is no `restore`.
    #[state(with = half)]
    number: u64,
}

fn main() {}
