//! `cargo xtask check-cuda`: compiles and links the workspace with CUDA and NCCL, on a machine that need not have a GPU.

use crate::cargo;
use crate::failure::Result;
use crate::second::Second;
use crate::setup::{self, RELEASE};

/// Compile and link everything with NCCL, programs and tests included; nothing is run.
///
/// libtorch with CUDA and the headers come from PyTorch's and NVIDIA's wheels, 0.8 GB, into the user's cache.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The series of libtorch: 2.11, 2.12 or 2.13; the repository's own without it
    #[arg(long, value_name = "SERIES")]
    libtorch: Option<String>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let root = cargo::root()?;
    let release = args.libtorch.as_deref().map_or(Ok(RELEASE), setup::of_series)?;
    let libtorch = setup::cached_cuda(&release)?;
    eprintln!("compiling for libtorch {} with CUDA ({}), tch {}", release.version, libtorch.display(), release.tch);
    let second = Second::new(&root, &format!("libtorch-{}-cuda", release.series()), &release, libtorch)?;
    let mut command = second.cargo()?;
    command.args(["test", "--no-run", "--workspace", "--exclude", "xtask"]);
    cargo::run(command.args(["--features", "trainloop-examples/nccl,trainloop-tests/nccl"]))
}
