//! `cargo xtask bench <name>`: a measurement, built with optimisations.

use std::ffi::OsString;

use crate::failure::Result;
use crate::{cargo, peers, setup};

/// Run a benchmark, as `cargo xtask bench all-reduce --peers --json`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The benchmark's name; an unknown one lists those that exist
    name: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Run the same work in PyTorch beside it, in a virtual environment that is made on first use
    #[arg(long)]
    peers: bool,
    /// Handed on to the benchmark
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    rest: Vec<OsString>,
}

/// Becomes the benchmark, through cargo.
pub(crate) fn main(args: &Args) -> Result<()> {
    let root = cargo::root()?;
    let names = cargo::targets(&root, "trainloop-benches", "bin")?;
    cargo::require("benchmark", &args.name, &names)?;
    setup::ensure(&root)?;
    let python = args.peers.then(peers::environment).transpose()?;

    let mut command = cargo::cargo(&root);
    command.args(["run", "--release", "--quiet", "--package", "trainloop-benches"]);
    command.args(["--bin", &args.name, "--"]);
    if args.json {
        command.arg("--json");
    }
    if let Some(python) = python {
        command.env(peers::PYTHON, python);
    }
    command.args(&args.rest);
    Err(cargo::exec(&mut command))
}
