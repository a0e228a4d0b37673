//! From a command line to a config.

use std::ffi::OsString;

use clap::Command;
use clap::error::ErrorKind;

use super::Config;
use super::declare::Declaration;
use super::error::{CliError, Mistake};
use super::sources::{self, Refusal};
use super::standard::RunOptions;

/// What the command line says: the config, and the options of the run. See the [module's example](super).
// Without a bound on `C`: a type that is no `Config` is told so once, where it is read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Cli<C> {
    /// The config: what was given, and the defaults of the rest.
    pub config: C,
    /// The options of the run itself, for [`command_line`](crate::trainer::TorchTrainer::command_line).
    pub run: RunOptions,
}

impl<C> Cli<C> {
    /// Reads the process's command line. `--help` prints the help and ends the process with 0; a mistake is printed, and
    /// ends it with 1.
    #[must_use]
    pub fn parse() -> Self
    where
        C: Config,
    {
        Self::try_parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Reads this command line, whose first word is the program's name.
    ///
    /// # Errors
    /// [`CliError`] where it has a mistake, or asks for help.
    pub fn try_parse_from<T: Into<OsString> + Clone>(args: impl IntoIterator<Item = T>) -> Result<Self, CliError>
    where
        C: Config,
    {
        let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        let declaration = C::declare();
        // It demands the required fields, so that the usage shows them; they may also stand elsewhere.
        let mut command = command(&declaration);
        let (matches, incomplete) = match command.try_get_matches_from_mut(&args) {
            Ok(matches) => (matches, None),
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
                let lenient = self::command(&declaration).mut_args(|arg| arg.required(false));
                (lenient.try_get_matches_from(&args).map_err(CliError)?, Some(error))
            }
            Err(error) => return Err(CliError(error)),
        };
        if let Some(error) = incomplete.filter(|_| !matches.contains_id("config") && !matches.contains_id("set")) {
            return Err(CliError(error));
        }
        let fields = declaration.fields();
        let given = sources::gather(fields, &command, &matches)
            .and_then(|given| sources::missing(fields, &command, &matches, &given).map(|()| given))
            .map_err(|Refusal { kind, message }| CliError(command.error(kind, message)))?;
        let config = C::read(&given).map_err(|Mistake { origin, value, reason }| {
            let message = format!("invalid value '{value}' for {origin}: {reason}");
            CliError(command.error(ErrorKind::ValueValidation, message))
        })?;
        Ok(Self { config, run: RunOptions::read(&matches) })
    }
}

/// The name is a stand-in: usage has the first word of the command line.
fn command(declaration: &Declaration) -> Command {
    RunOptions::add_to(sources::add_to(declaration.add_to(Command::new("trainloop"))))
}
