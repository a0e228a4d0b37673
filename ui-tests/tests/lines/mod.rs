//! At which lines a case fails: those that its message names, and those that this compiler finds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of `fail/`.
pub(crate) fn cases() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("fail")).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect();
    cases.sort();
    cases
}

/// The lines at which the errors in the message beside a case lie.
pub(crate) fn of_message(case: &Path) -> BTreeSet<u64> {
    let message = fs::read_to_string(case.with_extension("stderr")).unwrap();
    let errors = message.split("\n\n").filter(|block| block.trim_start().starts_with("error"));
    let place = |error: &str| -> Option<u64> {
        let place = error.lines().find_map(|line| line.trim_start().strip_prefix("--> fail/"))?;
        place.split(':').nth(1)?.parse().ok()
    };
    errors.filter_map(place).collect()
}

/// The lines at which this compiler finds errors, by the cases' names; checks all in one go, in a package of its own.
pub(crate) fn of_compiler(cases: &[PathBuf]) -> BTreeMap<String, BTreeSet<u64>> {
    let package = root().join("target/lines");
    fs::create_dir_all(&package).unwrap();
    let mut manifest = "[workspace]\n\n[package]\nname = \"lines\"\nedition = \"2024\"\nautobins = false\n".to_owned();
    let own = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let dependencies = own.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let dependencies = dependencies.replace("path = \"..", "path = \"../../..");
    write!(manifest, "\n[dependencies]{dependencies}").unwrap();
    for case in cases {
        let name = case.file_stem().unwrap().to_str().unwrap();
        write!(manifest, "\n[[bin]]\nname = \"{name}\"\npath = \"../../fail/{name}.rs\"\n").unwrap();
    }
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root().join("Cargo.lock"), package.join("Cargo.lock")).unwrap();

    let output = Command::new(env!("CARGO"))
        .args(["check", "--bins", "--keep-going", "--message-format=json", "--quiet"])
        .current_dir(&package)
        .env("CARGO_TARGET_DIR", root().join("target"))
        .output()
        .unwrap();
    let mut found: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        if message["reason"] != "compiler-message" || message["message"]["level"] != "error" {
            continue;
        }
        let spans = message["message"]["spans"].as_array().unwrap();
        let primary = spans.iter().filter(|span| span["is_primary"] == true).find_map(in_case);
        if let Some(line) = primary {
            found.entry(message["target"]["name"].as_str().unwrap().to_owned()).or_default().insert(line);
        }
    }
    assert!(!found.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    found
}

/// The line of a span in a case's file: of its own place, or of where a macro of ours was asked for it.
fn in_case(span: &Value) -> Option<u64> {
    if span["file_name"].as_str()?.contains("fail/") {
        return span["line_start"].as_u64();
    }
    in_case(&span["expansion"]["span"])
}
