//! `cargo xtask gpu-bundle`: programs for a machine that has a GPU and nothing to compile with; see tests/gpu/run.sh.

use std::fs;
use std::path::Path;

use crate::cargo;
use crate::failure::{Doing, Result, fail};
use crate::with_cuda::{FEATURES, Series};

/// The examples' data, which goes with them.
const DATA: &str = "examples/digits/data";

/// So that it can be carried to such a machine.
const MOST_BYTES: u64 = 60_000_000;

/// Build the checks and the digits example with NCCL into target/gpu-bundle/SERIES, for tests/gpu/run.sh on a machine with that libtorch.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    series: Series,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let root = cargo::root()?;
    let (release, second) = args.series.workspace(&root)?;
    let mut command = second.cargo()?;
    command.args(["build", "--release", "--package", "trainloop-tests", "--package", "trainloop-examples"]);
    command.args(["--bin", "gpu", "--example", "digits"]).args(FEATURES);
    cargo::run(command.env("CARGO_PROFILE_RELEASE_STRIP", "symbols"))?;

    let bundle = root.join("target/gpu-bundle").join(release.series());
    let built = second.target().join("release");
    let bytes = fill(&bundle, &[&built.join("gpu"), &built.join("examples/digits")], &root.join(DATA))?;
    let megabytes = bytes as f64 / 1e6;
    if bytes > MOST_BYTES {
        return fail(format!("{} has {megabytes:.1} MB, more than {} MB", bundle.display(), MOST_BYTES / 1_000_000));
    }
    println!("{} ({megabytes:.1} MB); run it by tests/gpu/run.sh", bundle.display());
    Ok(())
}

/// Copies programs and data into the folder, and gives its size.
fn fill(bundle: &Path, programs: &[&Path], data: &Path) -> Result<u64> {
    let what = || format!("cannot fill {}", bundle.display());
    if bundle.exists() {
        fs::remove_dir_all(bundle).doing(what)?;
    }
    let copies = bundle.join("data");
    fs::create_dir_all(&copies).doing(what)?;
    let mut bytes = 0;
    for program in programs {
        bytes += fs::copy(program, bundle.join(program.file_name().unwrap_or_default())).doing(what)?;
    }
    for entry in fs::read_dir(data).doing(what)? {
        let path = entry.doing(what)?.path();
        if path.extension().is_some_and(|extension| extension == "gz") {
            bytes += fs::copy(&path, copies.join(path.file_name().unwrap_or_default())).doing(what)?;
        }
    }
    Ok(bytes)
}
