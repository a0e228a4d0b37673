use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[train_loop]
async unsafe extern "C" fn many_words<T: Clone>(_: &mut Context, _: Config) -> Result<()>
where
    T: Send,
{
    Ok(())
}

fn main() {}
