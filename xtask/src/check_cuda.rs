//! `cargo xtask check-cuda`: compiles and links the workspace with CUDA and NCCL, on a machine that need not have a GPU.

use crate::cargo;
use crate::failure::Result;
use crate::with_cuda::{FEATURES, Series};

/// Compile and link everything with NCCL, programs and tests included; nothing is run.
///
/// libtorch with CUDA and the headers come from PyTorch's and NVIDIA's wheels, 0.8 GB, into the user's cache.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    series: Series,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let (_, second) = args.series.workspace(&cargo::root()?)?;
    let mut command = second.cargo()?;
    cargo::run(command.args(["test", "--no-run", "--workspace", "--exclude", "xtask"]).args(FEATURES))
}
