//! From a command line to a config.

use std::ffi::OsString;

use clap::Command;
use clap::error::ErrorKind;

use super::Config;
use super::error::{CliError, Mistake};
use super::given::Given;
use super::standard::RunOptions;

/// What the command line says: the config, and the options of the run. See the [module's example](super).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Cli<C: Config> {
    /// The config: what was given, and the defaults of the rest.
    pub config: C,
    /// The options of the run itself, for [`command_line`](crate::trainer::TorchTrainer::command_line).
    pub run: RunOptions,
}

impl<C: Config> Cli<C> {
    /// Reads the process's command line. `--help` prints the help and ends the process with 0; a mistake is printed, and
    /// ends it with 1.
    #[must_use]
    pub fn parse() -> Self {
        Self::try_parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Reads this command line, whose first word is the program's name.
    ///
    /// # Errors
    /// [`CliError`] where it has a mistake, or asks for help.
    pub fn try_parse_from<T: Into<OsString> + Clone>(args: impl IntoIterator<Item = T>) -> Result<Self, CliError> {
        let mut command = command::<C>();
        let matches = command.try_get_matches_from_mut(args).map_err(CliError)?;
        let run = RunOptions::read(&matches);
        match C::read(&Given::new(matches)) {
            Ok(config) => Ok(Self { config, run }),
            Err(mistake) => Err(refused(&mut command, &mistake)),
        }
    }
}

/// The name is a stand-in: usage has the first word of the command line.
fn command<C: Config>() -> Command {
    RunOptions::add_to(C::declare().add_to(Command::new("trainloop")))
}

/// In clap's own words and colours.
fn refused(command: &mut Command, mistake: &Mistake) -> CliError {
    let Mistake { long, value, reason } = mistake;
    let option = command.get_arguments().find(|arg| arg.get_long() == Some(long));
    let option = option.map_or_else(|| format!("--{long}"), ToString::to_string);
    let message = format!("invalid value '{value}' for '{option}': {reason}");
    CliError(command.error(ErrorKind::ValueValidation, message))
}
