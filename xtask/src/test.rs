//! `cargo xtask test`: the workspace's tests, then those that must not compile, then, on request, the comparisons with
//! torch; `cargo xtask test ui`: those that must not compile alone; `cargo xtask test --libtorch 2.11`: those of the
//! libraries, on another libtorch.

use std::ffi::OsString;
use std::path::Path;

use crate::failure::Result;
use crate::{cargo, peers, setup, versions};

/// Run the tests, as `cargo xtask test -- sampler` for those with that in their name.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One part of them: `ui` is what must compile and what must not, for which no libtorch is needed
    #[arg(value_enum)]
    part: Option<Part>,
    /// Also compare with torch itself, in a virtual environment that is made on first use
    #[arg(long)]
    peers: bool,
    /// The libraries' tests alone, on this libtorch: 2.11, 2.12 or 2.13; the repository's own build stays as it is
    #[arg(long, value_name = "SERIES", conflicts_with_all = ["part", "peers"])]
    libtorch: Option<String>,
    /// Handed on to `cargo test`: with all parts, to the first
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<OsString>,
}

/// A part of the tests.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Ui,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let root = cargo::root()?;
    if args.part == Some(Part::Ui) {
        return ui_tests(&root, &args.rest);
    }
    if let Some(series) = &args.libtorch {
        return versions::test(&root, series, &args.rest);
    }
    setup::ensure(&root)?;
    tests(&root, &args.rest)?;
    if args.peers {
        peers::test(&root)?;
    }
    Ok(())
}

/// The tests that need nothing but libtorch; what the README and CI call.
pub(crate) fn tests(root: &Path, args: &[OsString]) -> Result<()> {
    // Without `--all-targets`: that would leave out the documentation's examples. The tests of object storage make servers from
    // PyPI and npm in the user's cache on first use.
    cargo::run(cargo::cargo(root).args(["test", "--workspace"]).args(args))?;
    ui_tests(root, &[])
}

/// A workspace of its own, because its features must not reach the others.
fn ui_tests(root: &Path, args: &[OsString]) -> Result<()> {
    cargo::run(cargo::cargo(&root.join("ui-tests")).arg("test").args(args))
}
