//! The options that every run has.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::declare::flag;
use crate::trainer::Verbosity;

/// What the command line says of the run itself; `None` where it says nothing, and the program decides.
///
/// `#[derive(Config)]` refuses a field with one of these options' names, or with `config` or `set`, which are of the config:
/// the list in the macro's `check/config.rs` holds them, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RunOptions {
    /// `--workers <N>`: how many worker processes run.
    pub workers: Option<usize>,
    /// `--gpu`: one GPU for each worker.
    pub gpu: Option<bool>,
    /// `--storage <DIR>`: the folder in which runs are kept.
    pub storage: Option<PathBuf>,
    /// `--name <NAME>`: the run's name.
    pub name: Option<String>,
    /// `--resume`: there must be a run of that name to go on with.
    pub resume: bool,
    /// `--max-failures <N>`: how often the group may start again after a failure.
    pub max_failures: Option<u64>,
    /// `--quiet` or `--verbose`: how much is shown.
    pub verbosity: Option<Verbosity>,
}

impl RunOptions {
    pub(super) fn add_to(command: Command) -> Command {
        let option = |name: &'static str| Arg::new(name).long(name).help_heading("Run");
        command
            .arg(
                option("workers")
                    .value_name("N")
                    .allow_negative_numbers(true) // to be refused as a number
                    .value_parser(value_parser!(usize))
                    .help("Worker processes; with 0 the loop runs in this process"),
            )
            .arg(flag(option("gpu")).help("One GPU for each worker"))
            .arg(
                option("storage")
                    .value_name("DIR")
                    .value_parser(value_parser!(PathBuf))
                    .help("Folder in which runs are kept"),
            )
            .arg(option("name").value_name("NAME").help("The run's name, which is the name of its folder"))
            .arg(flag(option("resume")).help("Go on with the run of that name; an error if there is none"))
            .arg(
                option("max-failures")
                    .value_name("N")
                    .allow_negative_numbers(true)
                    .value_parser(value_parser!(u64))
                    .help("Start again from the latest checkpoint after a failure, at most so often"),
            )
            .arg(
                flag(option("quiet"))
                    .help("Show errors, warnings and the final result alone")
                    .conflicts_with("verbose"),
            )
            .arg(flag(option("verbose")).help("Also show states, generations and checkpoints, with times"))
    }

    pub(super) fn read(matches: &ArgMatches) -> Self {
        let said = |name: &str| matches.get_one::<bool>(name).copied();
        let verbosity = match (said("quiet"), said("verbose")) {
            (Some(true), _) => Some(Verbosity::Quiet),
            (_, Some(true)) => Some(Verbosity::Verbose),
            (None, None) => None,
            // `--quiet=false`, where the program says otherwise.
            _ => Some(Verbosity::Normal),
        };
        Self {
            workers: matches.get_one("workers").copied(),
            gpu: matches.get_one("gpu").copied(),
            storage: matches.get_one("storage").cloned(),
            name: matches.get_one("name").cloned(),
            resume: matches.get_one("resume").copied().unwrap_or(false),
            max_failures: matches.get_one("max-failures").copied(),
            verbosity,
        }
    }
}
