//! Configs that compile.
#![allow(clippy::all, clippy::pedantic, unreachable_pub)] // as users write, not as this project does

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use trainloop::cli::{Cli, Config};

/// Documented.
#[derive(Config, Serialize, Deserialize, Debug, Clone)]
#[config(crate = trainloop)]
struct Everything {
    /// Documented, too.
    required: u64,
    #[config(default = 3e-3, long = "learning-rate")]
    lr: f64,
    #[config(default = -1)]
    negative: i8,
    #[config(default = "data")]
    folder: PathBuf,
    #[config(default = "text")]
    text: String,
    #[config(default = 'x')]
    letter: char,
    #[config(default = u32::MAX / 2)]
    expression: u32,
    optional: Option<f32>,
    flag: bool,
    #[config(default = true)]
    on: bool,
    many: Vec<String>,
    #[config(default = vec![1, 2])]
    numbers: Vec<std::primitive::usize>,
    r#type: std::option::Option<String>,
    // No collision: the option has another name.
    #[config(long = "run-name")]
    name: Option<String>,
    #[config(long = "net")]
    config: Option<PathBuf>,
    #[config(long = "test-set")]
    set: Vec<PathBuf>,
}

fn given() -> u64 {
    3
}

/// A default's expression means what it means elsewhere.
#[derive(Config, Serialize, Deserialize, Clone)]
struct Meant {
    #[config(default = given())]
    given: u64,
}

/// The words of a config may come from a macro, and some of them from who calls it.
macro_rules! config_of {
    ($name:ident, $field:ident: $ty:ty = $default:expr) => {
        #[derive(Config, Serialize, Deserialize, Clone)]
        struct $name {
            #[config(default = $default)]
            $field: $ty,
            optional: Option<$ty>,
            required: u64,
        }
    };
}

config_of!(ByMacro, rate: f64 = 1e-3);

#[derive(Config, Serialize, Deserialize, Clone)]
struct Nothing {}

#[derive(Config, Serialize, Deserialize, Clone)]
struct Unit;

fn main() {
    if let Ok(cli) = Cli::<Everything>::try_parse_from(["program"]) {
        println!("{:?} {:?}", cli.config, cli.run.workers);
    }
    let _ = (Cli::<Nothing>::parse().config, Cli::<Unit>::parse);
    let _ = (Cli::<Meant>::parse, Cli::<ByMacro>::parse);
}
