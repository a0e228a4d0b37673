//! Command lines, read: every kind of field, the help, and every mistake's message.

mod sources;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Cli, Config, RunOptions};
use crate::error::Error;
use crate::trainer::Verbosity;

#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq)]
enum Mode {
    Fast,
    Exact,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Fast { "fast" } else { "exact" })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "fast" => Ok(Self::Fast),
            "exact" => Ok(Self::Exact),
            _ => Err("a mode is `fast` or `exact`".to_owned()),
        }
    }
}

/// Trains a small net.
///
/// On digits, that is.
#[derive(Config, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[config(crate = crate)]
struct Everything {
    /// Passes over the
    /// training data.
    epochs: u64,
    /// Samples in a batch
    #[config(default = 1_024, long = "batch")]
    batch_size: usize,
    /// Learning rate
    #[config(default = 3e-3)]
    lr: f64,
    #[config(default = -0.5)]
    shift: f64,
    /// Where the data are
    #[config(default = "data")]
    folder: PathBuf,
    /// How
    #[config(default = Mode::Exact)]
    mode: Mode,
    /// Stop early
    max_steps: Option<i64>,
    /// Hidden layers
    width: Vec<usize>,
    #[config(default = vec![0.9, 0.99])]
    beta: Vec<f64>,
    /// Augment the images
    augment: bool,
    #[config(default = true)]
    shuffle: bool,
    /// Kind
    r#type: Option<String>,
}

fn parse(line: &str) -> Cli<Everything> {
    Cli::try_parse_from(["bin/digits"].into_iter().chain(line.split_whitespace())).unwrap()
}

/// The message, without usage and tips.
fn mistake(line: &str) -> String {
    let error = Cli::<Everything>::try_parse_from(["digits"].into_iter().chain(line.split_whitespace())).unwrap_err();
    assert!(!error.is_help());
    let text = error.to_string();
    assert!(text.ends_with("For more information, try '--help'."), "{text}");
    text.split("\n\n").next().unwrap_or_default().to_owned()
}

#[test]
fn what_is_not_given_is_the_default() {
    let expected = Everything {
        epochs: 8,
        batch_size: 1024,
        lr: 3e-3,
        shift: -0.5,
        folder: PathBuf::from("data"),
        mode: Mode::Exact,
        max_steps: None,
        width: Vec::new(),
        beta: vec![0.9, 0.99],
        augment: false,
        shuffle: true,
        r#type: None,
    };
    let cli = parse("--epochs 8");
    assert_eq!((cli.config, cli.run), (expected, RunOptions::default()));
}

#[test]
fn what_is_given_is_taken() {
    let expected = Everything {
        epochs: 1,
        batch_size: 2,
        lr: 0.5,
        shift: -3.0,
        folder: PathBuf::from("there"),
        mode: Mode::Fast,
        max_steps: Some(-1),
        width: vec![64, 32],
        beta: vec![0.5],
        augment: true,
        shuffle: false,
        r#type: Some("x=y".to_owned()),
    };
    let line = "--epochs=1 --batch 2 --lr 5e-1 --shift -3 --folder there --mode fast --max-steps -1 --width 64 \
                --width=32 --beta 0.5 --augment --shuffle=false --type x=y";
    assert_eq!(parse(line).config, expected);
    assert!(!parse("--epochs 1 --augment=false").config.augment);
}

#[test]
fn the_run_has_options_of_its_own() {
    let run = |line: &str| parse(&format!("--epochs 1 {line}")).run;
    let all = run("--workers 0 --gpu --storage /runs --name first --resume --max-failures 3");
    assert_eq!((all.resume, all.max_failures), (true, Some(3)));
    assert_eq!((all.workers, all.gpu), (Some(0), Some(true)));
    assert_eq!((all.storage, all.name), (Some(PathBuf::from("/runs")), Some("first".to_owned())));
    assert_eq!(run("--gpu=false"), RunOptions { gpu: Some(false), ..RunOptions::default() });
    let shown =
        [("--quiet", Verbosity::Quiet), ("--verbose", Verbosity::Verbose), ("--quiet=false", Verbosity::Normal)];
    for (line, verbosity) in shown {
        assert_eq!(run(line), RunOptions { verbosity: Some(verbosity), ..RunOptions::default() });
    }
    let both = Cli::<Everything>::try_parse_from(["digits", "--epochs", "1", "--quiet", "--verbose"]).unwrap_err();
    assert!(both.to_string().contains("cannot be used with"), "{both}");
}

#[test]
fn the_help_is_made_of_doc_comments() {
    let error = Cli::<Everything>::try_parse_from(["digits", "-h"]).unwrap_err();
    assert!(error.is_help());
    assert_eq!(
        error.to_string(),
        "\
Trains a small net

Usage: digits [OPTIONS] --epochs <EPOCHS>

Options:
      --epochs <EPOCHS>         Passes over the training data
      --batch <BATCH_SIZE>      Samples in a batch [default: 1024]
      --lr <LR>                 Learning rate [default: 3e-3]
      --shift <SHIFT>           [default: -0.5]
      --folder <FOLDER>         Where the data are [default: data]
      --mode <MODE>             How [default: exact]
      --max-steps <MAX_STEPS>   Stop early
      --width <WIDTH>           Hidden layers (may be given several times)
      --beta <BETA>             May be given several times [default: 0.9 0.99]
      --augment[=<true|false>]  Augment the images
      --shuffle[=<true|false>]  [default: true]
      --type <TYPE>             Kind
  -h, --help                    Print help (see more with '--help')

Config:
      --config <FILE>     Take fields from this JSON or TOML file; what the command line says counts before it
      --set <NAME=VALUE>  Set a field by its name, as its own option would (may be given several times)

Run:
      --workers <N>             Worker processes; with 0 the loop runs in this process
      --gpu[=<true|false>]      One GPU for each worker
      --storage <DIR>           Folder in which runs are kept
      --name <NAME>             The run's name, which is the name of its folder
      --resume[=<true|false>]   Go on with the run of that name; an error if there is none
      --max-failures <N>        Start again from the latest checkpoint after a failure, at most so often
      --quiet[=<true|false>]    Show errors, warnings and the final result alone
      --verbose[=<true|false>]  Also show states, generations and checkpoints, with times"
    );
    let long = Cli::<Everything>::try_parse_from(["digits", "--help"]).unwrap_err().to_string();
    assert!(long.starts_with("Trains a small net.\n\nOn digits, that is.\n\nUsage: digits"), "{long}");
}

#[test]
fn a_mistake_names_the_option_the_value_and_the_reason() {
    for (line, expected) in [
        ("--epochs 1 --batch lots", "invalid value 'lots' for '--batch <BATCH_SIZE>': invalid digit found in string"),
        ("--epochs -1", "invalid value '-1' for '--epochs <EPOCHS>': invalid digit found in string"),
        ("--epochs 1 --lr=", "invalid value '' for '--lr <LR>': cannot parse float from empty string"),
        ("--epochs 1 --mode slow", "invalid value 'slow' for '--mode <MODE>': a mode is `fast` or `exact`"),
        (
            "--epochs 1 --max-steps 1.5",
            "invalid value '1.5' for '--max-steps <MAX_STEPS>': invalid digit found in string",
        ),
        ("--epochs 1 --width 1 --width x", "invalid value 'x' for '--width <WIDTH>': invalid digit found in string"),
        ("--epochs 1 --workers -2", "invalid value '-2' for '--workers <N>': invalid digit found in string"),
        ("--epochs 1 --gpu=2", "invalid value '2' for '--gpu[=<true|false>]'\n  [possible values: true, false]"),
        (
            "--epochs 1 --augment=no",
            "invalid value 'no' for '--augment[=<true|false>]'\n  [possible values: true, false]",
        ),
        ("--lr 1", "the following required arguments were not provided:\n  --epochs <EPOCHS>"),
        ("--epochs 1 --lr 1 --lr 2", "the argument '--lr <LR>' cannot be used multiple times"),
        ("--epochs 1 --lr", "a value is required for '--lr <LR>' but none was supplied"),
        ("--epochs 1 --widht 1", "unexpected argument '--widht' found"),
        ("--epochs 1 more", "unexpected argument 'more' found"),
    ] {
        assert_eq!(mistake(line), expected, "{line}");
    }
}

#[test]
fn a_mistake_becomes_an_error_of_the_crate() {
    let error = Cli::<Everything>::try_parse_from(["digits", "--epochs", "x"]).unwrap_err();
    let text = error.to_string();
    let error = Error::from(error);
    assert!(matches!(&error, Error::Config(message) if *message == text), "{error}");
}

/// No field, no doc comment, no line of the command line.
#[derive(Config, Serialize, Deserialize, Debug, Clone)]
#[config(crate = crate)]
struct Nothing {}

#[test]
fn a_config_may_be_empty() {
    assert_eq!(Cli::<Nothing>::try_parse_from(["digits"]).unwrap().run, RunOptions::default());
    // Not even the program's name.
    assert_eq!(Cli::<Nothing>::try_parse_from([""; 0]).unwrap().run, RunOptions::default());
}
