//! `cargo xtask test --libtorch 2.11`: the libraries' tests on another libtorch.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::cargo;
use crate::failure::Result;
use crate::second::Second;
use crate::setup::{self, Release};

/// The packages that are tested on each libtorch.
const PACKAGES: [&str; 2] = ["trainloop-c10d", "trainloop"];

/// Sets up libtorch and runs the tests of `trainloop-c10d` and `trainloop` on it.
pub(crate) fn test(root: &Path, series: &str, args: &[OsString]) -> Result<()> {
    let release = setup::of_series(series)?;
    let libtorch = setup::cached(&release)?;
    eprintln!("testing on libtorch {} ({}), tch {}", release.version, libtorch.display(), release.tch);
    let second = Second::new(root, &format!("libtorch-{}", release.series()), &release, libtorch)?;
    let test = || -> Result<Command> {
        let mut command = second.cargo()?;
        command.arg("test").args(PACKAGES.iter().flat_map(|package| ["--package", package]));
        Ok(command)
    };
    cargo::run(test()?.args(args))?;
    // Whoever chose among the tests did not choose this one.
    if args.is_empty() { refuses_another(test()?, &release) } else { Ok(()) }
}

/// Runs a test program on another libtorch than it was compiled for: that is an error with both versions.
fn refuses_another(mut test: Command, release: &Release) -> Result<()> {
    let other = setup::another(release);
    let lib = setup::cached(&other)?.join("lib");
    eprintln!("and what was compiled for {} on libtorch {}", release.version, other.version);
    test.args(["--test", "loaded", "--", "--ignored"]);
    cargo::run(test.env("TRAINLOOP_OTHER_LIBTORCH", lib).env("TRAINLOOP_OTHER_VERSION", other.version))
}
