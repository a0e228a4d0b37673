//! Weights of files into models.

mod damaged;
mod expected;
mod loading;

use std::path::{Path, PathBuf};

use serde_json::Value;

const JSON: &str = include_str!("../expected/state_dict.json");

/// A file that `expected/state_dict.py` has saved.
fn kept(name: &str) -> PathBuf {
    folder().join(name)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/state_dict")
}

#[test]
fn pytorchs_files_are_read_as_pytorch_reads_them() {
    expected::assert_read(&folder(), &serde_json::from_str::<Value>(JSON).unwrap());
}
