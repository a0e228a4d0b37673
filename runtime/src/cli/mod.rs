//! The command line of a binary that trains: its config's fields as options, and those that every run has.
//!
//! ```
//! use std::path::PathBuf;
//!
//! use serde::{Deserialize, Serialize};
//! use trainloop::prelude::*;
//!
//! /// Reads handwritten digits
//! #[derive(Config, Serialize, Deserialize, Debug, Clone)]
//! struct Options {
//!     /// Passes over the training data
//!     epochs: u64,
//!     /// Learning rate
//!     #[config(default = 3e-3)]
//!     lr: f64,
//!     /// Folder with the images
//!     #[config(default = "data")]
//!     images: PathBuf,
//!     /// Stop after so many steps
//!     max_steps: Option<u64>,
//!     /// Augment the images
//!     augment: bool,
//! }
//!
//! let cli = Cli::<Options>::try_parse_from(["digits", "--epochs", "8", "--augment", "--workers=2"])?;
//! assert_eq!((cli.config.epochs, cli.config.lr, cli.config.augment), (8, 3e-3, true));
//! assert_eq!((cli.config.images, cli.config.max_steps), (PathBuf::from("data"), None));
//! assert_eq!(cli.run.workers, Some(2));
//!
//! let error = Cli::<Options>::try_parse_from(["digits", "--epochs", "many"]).unwrap_err();
//! assert!(error.to_string().starts_with("invalid value 'many' for '--epochs <EPOCHS>': invalid digit found in string"));
//! # Ok::<(), trainloop::cli::CliError>(())
//! ```
//!
//! A `main` takes the process's own command line as its parameter, and
//! [`command_line`](crate::trainer::TorchTrainer::command_line) gives the trainer what was set there:
//!
//! ```no_run
//! # use serde::{Deserialize, Serialize};
//! # use trainloop::prelude::*;
//! # #[derive(Config, Serialize, Deserialize, Debug, Clone)]
//! # struct Options { epochs: u64 }
//! # #[train_loop]
//! # fn train(_: &mut Context, _: Options) -> Result<()> { Ok(()) }
//! #[trainloop::main]
//! fn main(cli: Cli<Options>) -> Result<()> {
//!     TorchTrainer::<train>::new(cli.config.clone())
//!         .scaling(ScalingConfig::workers(2)) // unless `--workers` says otherwise
//!         .command_line(&cli)
//!         .fit()?;
//!     Ok(())
//! }
//! ```
//!
//! # Where a field's value comes from
//!
//! 1. Its own option, `--lr 1e-3`, or `--set lr=1e-3`, which does the same by the field's name or its option's; not both.
//!    A field that may be given several times takes all values of the one or the other.
//! 2. The file of `--config FILE`.
//! 3. Its default.
//!
//! The first that has it counts, for the whole field: a list is replaced, not prolonged. A field that must be given may be
//! given in any of them.
//!
//! The file is an object in JSON (`.json`) or a table in TOML (`.toml`). A key is a field's name or its option's
//! (`batch_size`, `batch-size`; a field's own name counts before another's option). A string, a number or a truth value is
//! read as the same text on the command line would be, so that a float is rounded once, by its field's type; an array is a
//! `Vec`'s; `null` leaves an `Option` out. Unknown keys are refused. A relative path in a file is one from where the program
//! was started, as on the command line.
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! # use trainloop::prelude::*;
//! #[derive(Config, Serialize, Deserialize, Debug, Clone)]
//! struct Options {
//!     epochs: u64,
//!     #[config(default = 3e-3)]
//!     lr: f64,
//!     width: Vec<usize>,
//! }
//!
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("run.toml");
//! std::fs::write(&file, "epochs = 8\nlr = 1e-2\nwidth = [64, 32]\n")?;
//!
//! let file = file.display().to_string();
//! let cli = Cli::<Options>::try_parse_from(["digits", "--config", &file, "--set", "lr=1e-4"])?;
//! assert_eq!((cli.config.epochs, cli.config.lr, cli.config.width), (8, 1e-4, vec![64, 32]));
//!
//! let error = Cli::<Options>::try_parse_from(["digits", "--config", &file, "--set", "epoch=9"]).unwrap_err();
//! assert!(error.to_string().starts_with("unexpected field 'epoch' in '--set epoch=9'; did you mean 'epochs'?"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apply;
pub(crate) mod declare;
pub(crate) mod error;
mod file;
pub(crate) mod given;
mod names;
mod parse;
mod sources;
mod standard;
#[cfg(test)]
mod tests;
pub(crate) mod value;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use trainloop_macros::Config;

use declare::Declaration;
use error::Mistake;
use given::Given;

pub use error::CliError;
pub use parse::Cli;
pub use standard::RunOptions;

/// A train loop's config that the command line can set. Derive it:
/// `#[derive(Config, Serialize, Deserialize, Debug, Clone)]`.
///
/// Each field is an option, and its doc comment the option's help:
///
/// | field | option |
/// |---|---|
/// | `batch_size: usize` | `--batch-size <BATCH_SIZE>`, which must be given |
/// | with `#[config(default = 64)]` | the same, which may be left out; the help shows the default |
/// | `max_steps: Option<u64>` | may be left out |
/// | `width: Vec<usize>` | may be given several times |
/// | `augment: bool` | `--augment`, also `--augment=false` |
/// | with `#[config(long = "batch")]` | `--batch`, whatever the field's name |
///
/// A value is read by its type's [`FromStr`](std::str::FromStr), whether it stands there, in a file, or behind `--set`: the
/// [module](self) says which counts.
///
/// A config is `Serialize`, `DeserializeOwned`, `Clone` and `'static`; code that is generic over one names what it needs of
/// these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from the command line: it does not implement `Config`",
    note = "add `#[derive(trainloop::Config, serde::Serialize, serde::Deserialize, Clone)]` to `{Self}`"
)]
pub trait Config: ConfigValue + Sized + 'static {
    #[doc(hidden)]
    fn declare() -> Declaration;

    #[doc(hidden)]
    fn read(given: &Given) -> Result<Self, Mistake>;
}

/// What a config is made of: every type that has these is one. They are no supertraits, for then rustc would name each that a
/// type lacks in a message of its own.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the config `{Self}` cannot travel to the workers: it lacks serde's `Serialize` or `Deserialize`, or `Clone`",
    label = "lacks one of them",
    note = "write `#[derive(trainloop::Config, serde::Serialize, serde::Deserialize, Clone)]` above `{Self}`"
)]
pub trait ConfigValue {}

#[diagnostic::do_not_recommend]
impl<C: Serialize + DeserializeOwned + Clone + 'static> ConfigValue for C {}
