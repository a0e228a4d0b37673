//! Where the headers of CUDA and of NCCL lie, for the feature `nccl`.

use std::env;
use std::path::{Path, PathBuf};

/// The folders of CUDA's headers and of NCCL's: where the user says they are, beside libtorch, or where their packages put
/// them.
pub(crate) fn includes(libtorch: &Path) -> Result<Vec<PathBuf>, String> {
    let lib = libtorch.join("../lib/libtorch_cuda.so");
    if !lib.is_file() {
        return Err(format!(
            "the feature `nccl` needs a libtorch with CUDA, and {} is not there; set LIBTORCH to a CUDA build, or leave the \
             feature out (`cargo xtask check-cuda` builds with it on a machine that has neither)",
            lib.display()
        ));
    }
    // Python's wheels lie side by side in `site-packages`: torch, and CUDA in `nvidia`.
    let wheels = libtorch.join("../../nvidia");
    let cuda = [libtorch.join("../cuda/include"), wheels.join("cu13/include"), wheels.join("cuda_runtime/include")];
    let cccl: Vec<PathBuf> = cuda.iter().flat_map(|include| [include.clone(), include.join("cccl")]).collect();
    let nccl = [libtorch.join("../cuda/include"), wheels.join("nccl/include")];
    let toolkit = ["CUDA_HOME", "CUDA_PATH"];
    Ok(vec![
        header("cuda_runtime_api.h", "CUDA", &toolkit, &cuda, "/usr/local/cuda/include")?,
        header("crt/host_defines.h", "CUDA", &toolkit, &cuda, "/usr/local/cuda/include")?,
        header("nv/target", "CUDA's CCCL", &toolkit, &cccl, "/usr/local/cuda/include/cccl")?,
        header("nccl.h", "NCCL", &["NCCL_HOME"], &nccl, "/usr/include")?,
    ])
}

/// The folder that has `name`.
fn header(name: &str, of: &str, variables: &[&str], beside: &[PathBuf], usual: &str) -> Result<PathBuf, String> {
    let mut candidates = Vec::new();
    for variable in variables {
        println!("cargo:rerun-if-env-changed={variable}");
        let include = env::var_os(variable).map(|home| Path::new(&home).join("include"));
        candidates.extend(include.iter().flat_map(|include| [include.clone(), include.join("cccl")]));
    }
    candidates.extend_from_slice(beside);
    candidates.push(PathBuf::from(usual));
    candidates.iter().find(|dir| dir.join(name).is_file()).cloned().ok_or_else(|| {
        format!(
            "the feature `nccl` needs {of}'s header {name}, which was not found in {candidates:?}; set {} to the folder \
             above `include`",
            variables[0]
        )
    })
}
