//! `pass/` compiles without a warning; each file of `fail/` gives the message beside it.
//!
//! After a message has been changed on purpose: `TRYBUILD=overwrite cargo test`, and read the difference.

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
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
