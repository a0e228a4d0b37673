//! Compiles `cpp/` against the libtorch that torch-sys has chosen.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// And `nccl_half`, with the feature `nccl`.
const SOURCES: [&str; 10] = [
    "tensors",
    "store",
    "work",
    "process_group",
    "collectives",
    "ddp",
    "ddp_hooks",
    "ddp_join",
    "aten",
    "autocast",
];

/// Set in this repository, and not where the crate is used: another compiler warns of other things.
const STRICT: &str = "TRAINLOOP_STRICT_CXX";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_DOC_ONLY").is_some() {
        return;
    }
    if let Err(message) = compile() {
        // A build script speaks to its user through its exit code and standard error alone.
        eprintln!("error: {message}");
        std::process::exit(1);
    }
}

fn compile() -> Result<(), String> {
    let include = include_dir()?;
    let mut build = cxx_build::bridge("src/bridge.rs");
    build
        .std("c++20")
        .include("cpp")
        .define("USE_DISTRIBUTED", None)
        .define("USE_C10D_GLOO", None)
        .extra_warnings(true)
        // Of 2.13, by which it calls what 2.11 has under its old name alone.
        .flag_if_supported("-Wno-deprecated-declarations")
        .flags(foreign(&[include.clone(), include.join("torch/csrc/api/include")]));
    println!("cargo:rerun-if-env-changed={STRICT}");
    build.warnings_into_errors(env::var_os(STRICT).is_some());
    for source in SOURCES {
        build.file(format!("cpp/{source}.cpp"));
    }
    if env::var_os("CARGO_FEATURE_NCCL").is_some() {
        build.file("cpp/nccl_half.cpp").define("USE_C10D_NCCL", None);
        build.flags(foreign(&cuda_includes(&include)?));
        println!("cargo:rustc-link-lib=torch_cuda");
    }
    println!("cargo:rerun-if-changed=src/bridge.rs");
    println!("cargo:rerun-if-changed=cpp");
    build.try_compile("trainloop_c10d").map_err(|error| error.to_string())
}

/// For headers that are not ours, and so may warn by the thousand without being heard.
fn foreign(folders: &[PathBuf]) -> Vec<OsString> {
    folders.iter().flat_map(|folder| ["-isystem".into(), folder.clone().into_os_string()]).collect()
}

/// The folder of libtorch's headers: beside the libraries that torch-sys links.
fn include_dir() -> Result<PathBuf, String> {
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    let mut candidates = Vec::new();
    if let Some(base) = env::var_os("LIBTORCH_INCLUDE") {
        candidates.push(Path::new(&base).join("include"));
    }
    if let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB") {
        candidates.push(Path::new(&lib).join("../include"));
    }
    let header = "torch/csrc/distributed/c10d/reducer.hpp";
    candidates.iter().find(|dir| dir.join(header).is_file()).cloned().ok_or_else(|| {
        format!(
            "libtorch's header {header} was not found in {candidates:?}; run `cargo xtask setup`, or set \
             LIBTORCH to a libtorch with its include folder"
        )
    })
}

/// The folders of CUDA's headers and of NCCL's: where the user says they are, beside libtorch, or where their packages put
/// them.
fn cuda_includes(libtorch: &Path) -> Result<Vec<PathBuf>, String> {
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
    let nccl = [libtorch.join("../cuda/include"), wheels.join("nccl/include")];
    Ok(vec![
        header("cuda_runtime_api.h", "CUDA", &["CUDA_HOME", "CUDA_PATH"], &cuda, "/usr/local/cuda/include")?,
        header("crt/host_defines.h", "CUDA", &["CUDA_HOME", "CUDA_PATH"], &cuda, "/usr/local/cuda/include")?,
        header("nccl.h", "NCCL", &["NCCL_HOME"], &nccl, "/usr/include")?,
    ])
}

/// The folder that has `name`.
fn header(name: &str, of: &str, variables: &[&str], beside: &[PathBuf], usual: &str) -> Result<PathBuf, String> {
    let mut candidates = Vec::new();
    for variable in variables {
        println!("cargo:rerun-if-env-changed={variable}");
        candidates.extend(env::var_os(variable).map(|home| Path::new(&home).join("include")));
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
