//! `cargo xtask test`: the workspace's tests, then those that must not compile, then, on request, the
//! comparisons with torch.

use std::ffi::OsString;
use std::path::Path;

use crate::failure::Result;
use crate::{cargo, peers, setup};

/// Run the tests, as `cargo xtask test -- sampler` for those with that in their name.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also compare with torch itself, in a virtual environment that is made on first use
    #[arg(long)]
    peers: bool,
    /// Handed on to the first `cargo test`
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<OsString>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let root = cargo::root()?;
    setup::ensure(&root)?;
    tests(&root, &args.rest)?;
    if args.peers {
        peers::test(&root)?;
    }
    Ok(())
}

/// The tests that need nothing but libtorch; what the README and CI call.
pub(crate) fn tests(root: &Path, args: &[OsString]) -> Result<()> {
    // Without `--all-targets`: that would leave out the documentation's examples.
    cargo::run(cargo::cargo(root).args(["test", "--workspace"]).args(args))?;
    // A workspace of its own, because its features must not reach the others.
    cargo::run(cargo::cargo(&root.join("ui-tests")).arg("test"))
}
