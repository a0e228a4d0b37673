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
//! In a `main`, [`Cli::parse`] reads the process's own command line, and
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
//! fn main() -> Result<()> {
//!     let cli = Cli::<Options>::parse();
//!     TorchTrainer::<train>::new(cli.config.clone())
//!         .scaling(ScalingConfig::workers(2)) // unless `--workers` says otherwise
//!         .command_line(&cli)
//!         .fit()?;
//!     Ok(())
//! }
//! ```

mod apply;
pub(crate) mod declare;
pub(crate) mod error;
pub(crate) mod given;
mod parse;
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
/// A value is read by its type's [`FromStr`](std::str::FromStr).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from the command line: it does not implement `Config`",
    note = "add `#[derive(trainloop::Config, serde::Serialize, serde::Deserialize, Clone)]` to `{Self}`"
)]
pub trait Config: Serialize + DeserializeOwned + Clone + 'static {
    #[doc(hidden)]
    fn declare() -> Declaration;

    #[doc(hidden)]
    fn read(given: &Given) -> Result<Self, Mistake>;
}
