//! `cargo xtask run <example>`: an example, with libtorch in place.

use std::ffi::OsString;
use std::process::Command;

use crate::failure::Result;
use crate::{cargo, setup};

/// Run an example, as `cargo xtask run digits -- --epochs 2`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The example's name; an unknown one lists those that exist
    example: String,
    /// Build with optimisations
    #[arg(long)]
    release: bool,
    /// Handed on to the example
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<OsString>,
}

/// Becomes the example: Ctrl-C reaches it and its exit code is ours.
pub(crate) fn main(args: &Args) -> Result<()> {
    let root = cargo::root()?;
    let names = cargo::targets(&root, "trainloop-examples", "example")?;
    cargo::require("example", &args.example, &names)?;
    setup::ensure(&root)?;

    let binary = cargo::example(&root, &args.example, cargo::Features::Examples, args.release)?;
    let mut command = Command::new(binary);
    command.args(&args.rest);
    if std::env::var_os("CARGO_TARGET_DIR").is_some() {
        // By its own path a program finds libtorch from `target/` alone.
        let set = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let folders = [root.join(".libtorch/lib")].into_iter().chain(std::env::split_paths(&set));
        if let Ok(folders) = std::env::join_paths(folders) {
            command.env("LD_LIBRARY_PATH", folders);
        }
    }
    Err(cargo::exec(&mut command))
}
