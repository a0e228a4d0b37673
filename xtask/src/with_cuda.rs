//! Building the workspace with CUDA and NCCL, for `check-cuda` and `gpu-bundle`.

use std::path::Path;

use crate::failure::Result;
use crate::second::Second;
use crate::setup::{self, RELEASE, Release};

/// The features by which the workspace's programs have NCCL.
pub(crate) const FEATURES: [&str; 2] = ["--features", "trainloop-examples/nccl,trainloop-tests/nccl"];

/// Which libtorch.
#[derive(clap::Args)]
pub(crate) struct Series {
    /// The series of libtorch: 2.11, 2.12 or 2.13; the repository's own without it
    #[arg(long, value_name = "SERIES")]
    libtorch: Option<String>,
}

impl Series {
    /// The release, and a workspace to build on it with CUDA.
    pub(crate) fn workspace(&self, root: &Path) -> Result<(Release, Second)> {
        let release = self.libtorch.as_deref().map_or(Ok(RELEASE), setup::of_series)?;
        let libtorch = setup::cached_cuda(&release)?;
        eprintln!("compiling for libtorch {} with CUDA ({}), tch {}", release.version, libtorch.display(), release.tch);
        let second = Second::new(root, &format!("libtorch-{}-cuda", release.series()), &release, libtorch)?;
        Ok((release, second))
    }
}
