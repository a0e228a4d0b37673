//! `cargo xtask fuzz`: what is read from a disk or a socket, with bytes that nobody wrote.
//!
//! The targets are in `fuzz/`, a workspace of its own: they need a nightly toolchain and `cargo-fuzz`.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cargo;
use crate::failure::{Doing, Failure, Result, fail};

/// Fuzz what is read from a disk or a socket, for a fixed number of inputs to each target.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One target; otherwise all
    target: Option<String>,
    /// Inputs to each target
    #[arg(long)]
    runs: Option<u64>,
}

/// The targets, and how many inputs take each some 10 to 20 seconds.
const TARGETS: [(&str, u64); 5] = [
    ("manifest", 150_000),
    ("journal", 150_000),
    ("safetensors", 300_000),
    ("state_dict", 300_000),
    ("channel", 30_000),
];

/// What the channel's target may allocate at once, in MiB: inputs are small, and a length that is only claimed costs nothing.
const CHANNEL_ALLOCATES: &str = "-malloc_limit_mb=16";

pub(crate) fn main(args: &Args) -> Result<()> {
    let root = cargo::root()?;
    let names = TARGETS.map(|(name, _)| name.to_owned());
    if let Some(target) = &args.target {
        cargo::require("fuzz target", target, &names)?;
    }
    require_tools()?;
    for (name, runs) in TARGETS {
        if args.target.as_ref().is_none_or(|target| target == name) {
            fuzz(&root, name, args.runs.unwrap_or(runs))?;
        }
    }
    Ok(())
}

/// All targets, as a stage of `cargo xtask ci`.
pub(crate) fn all(root: &Path) -> Result<()> {
    require_tools()?;
    TARGETS.into_iter().try_for_each(|(name, runs)| fuzz(root, name, runs))
}

fn require_tools() -> Result<()> {
    let answers = |arguments: &[&str]| {
        let output = nightly(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !answers(&["cargo", "--version"]) {
        return fail(
            "fuzzing needs a nightly toolchain, for the sanitizers\n  rustup toolchain install nightly --profile minimal",
        );
    }
    if !answers(&["cargo", "fuzz", "--version"]) {
        return fail("fuzzing needs `cargo-fuzz`\n  cargo install cargo-fuzz --locked");
    }
    Ok(())
}

/// A command of the nightly toolchain, whichever runs this program.
fn nightly(arguments: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly"]).args(arguments);
    // Those of the toolchain that started this program.
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}

fn fuzz(root: &Path, name: &str, runs: u64) -> Result<()> {
    // What it finds on its way is kept for the next time, but not among the seeds.
    let found = root.join("target/fuzz").join(name);
    fs::create_dir_all(&found).doing(|| format!("cannot make the folder {}", found.display()))?;
    let seeds = root.join("fuzz/corpus").join(name);
    let mut command = nightly(&["cargo", "fuzz", "run", name]);
    let runs = format!("-runs={runs}");
    let arguments: [&OsStr; 6] = [
        found.as_ref(),
        seeds.as_ref(),
        "--".as_ref(),
        runs.as_ref(),
        "-max_len=4096".as_ref(),
        "-verbosity=0".as_ref(),
    ];
    command.current_dir(root.join("fuzz")).args(arguments);
    if name == "channel" {
        command.arg(CHANNEL_ALLOCATES);
    }
    eprintln!("fuzzing `{name}` ({runs})");
    cargo::run(&mut command).map_err(|failure| {
        let code = failure.code;
        Failure::new(format!(
            "the fuzz target `{name}` failed: {failure}\n  the input is named above; mend what it broke, and put it into \
             fuzz/corpus/{name} as a seed"
        ))
        .with_code(code)
    })
}
