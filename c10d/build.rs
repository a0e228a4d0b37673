//! Compiles `cpp/` against the libtorch that torch-sys has chosen.

use std::env;
use std::path::{Path, PathBuf};

#[path = "build/version.rs"]
mod version;

const SOURCES: [&str; 9] =
    ["tensors", "store", "work", "process_group", "collectives", "ddp", "ddp_hooks", "aten", "version"];

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
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .include("cpp")
        .define("USE_DISTRIBUTED", None)
        .define("USE_C10D_GLOO", None)
        .flag_if_supported("-Wno-unused-parameter")
        .flag_if_supported("-Wno-deprecated-declarations")
        // libtorch's headers warn by the thousand; ours are compiled with the same flags.
        .warnings(false);
    for source in SOURCES {
        build.file(format!("cpp/{source}.cpp"));
    }
    // A program that lacks a function of the libtorch it has loaded ends before it can say so, where the loader looks for all
    // at once, as Rust has it do. `tests/loaded.rs` is to come as far as that.
    println!("cargo:rustc-link-arg-tests=-Wl,-z,lazy");
    println!("cargo:rerun-if-changed=src/bridge.rs");
    println!("cargo:rerun-if-changed=cpp");
    build.try_compile("trainloop_c10d").map_err(|error| error.to_string())
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
