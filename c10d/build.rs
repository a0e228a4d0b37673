//! Compiles `cpp/` against the libtorch that torch-sys has chosen.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

#[path = "build/cuda.rs"]
mod cuda;
#[path = "build/version.rs"]
mod version;

/// And `nccl_half`, with the feature `nccl`.
const SOURCES: [&str; 13] = [
    "tensors",
    "store",
    "work",
    "process_group",
    "collectives",
    "autograd_reduce",
    "ddp",
    "ddp_hooks",
    "ddp_join",
    "aten",
    "autocast",
    "bytes",
    "version",
];

/// Set in this repository, and not where the crate is used: another compiler warns of other things.
const STRICT: &str = "TRAINLOOP_STRICT_CXX";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    version::declare();
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
    let lib = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
    version::emit(version::check(&include, lib.as_deref())?);
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
    if env::var("DEBUG").is_ok_and(|debug| debug != "false") {
        // Lines for backtraces. All that `-g` tells would make each of the executables 30 MB larger.
        build.debug(false).flag("-g1");
    }
    if env::var_os("CARGO_FEATURE_NCCL").is_some() {
        build.file("cpp/nccl_half.cpp").define("USE_C10D_NCCL", None).include("cpp/cuda");
        build.flags(foreign(&cuda::includes(&include)?));
        println!("cargo:rustc-link-lib=torch_cuda");
    }
    // A program that lacks a function of the libtorch it has loaded ends before it can say so, where the loader looks for all
    // at once, as Rust has it do. `tests/loaded.rs` is to come as far as that.
    println!("cargo:rustc-link-arg-tests=-Wl,-z,lazy");
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
