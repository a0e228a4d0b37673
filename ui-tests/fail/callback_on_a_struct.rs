use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[callback(report)]
struct Note;

fn main() {
    let _ = (Note, Config);
}
