//! `pass/` compiles without a warning (the package `tests` links and runs it); each file of `fail/` gives the message beside
//! it.
//!
//! The messages are those of the compiler that `rust-version` names, and are compared on that one alone. On every compiler
//! each file of `fail/` fails, and at the same lines.
//!
//! After a message has been changed on purpose: `TRYBUILD=overwrite cargo test`, and read the difference.

mod lines;
mod quotes;

use std::process::Command;

#[test]
fn what_is_right_compiles_without_a_warning() {
    let output = Command::new(env!("CARGO"))
        .args(["check", "--examples", "--features", "check-examples", "--quiet"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn what_is_wrong_says_why() {
    if is_pinned_compiler() {
        trybuild::TestCases::new().compile_fail("fail/*.rs");
    }
}

#[test]
fn what_is_wrong_fails_at_its_lines() {
    let cases = lines::cases();
    let failed = lines::of_compiler(&cases);
    for case in cases {
        let name = case.file_stem().unwrap().to_str().unwrap();
        let found = failed.get(name).unwrap_or_else(|| panic!("{name} compiles"));
        assert_eq!(*found, lines::of_message(&case), "{name}");
    }
}

/// `docs/compile-time.md` says what is said.
#[test]
fn the_list_of_mistakes_quotes_real_messages() {
    let missing = quotes::that_nothing_says();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The compiler whose messages are written down.
fn is_pinned_compiler() -> bool {
    let version = Command::new("rustc").arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    version.starts_with(&format!("rustc {}.", include_str!("../rust-version").trim()))
}
