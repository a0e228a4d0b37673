//! A program that has loaded another libtorch than it was compiled for.
//!
//! For this there must be two libtorchs: `cargo xtask test --libtorch` has them, and names the folder of the other's libraries
//! in `TRAINLOOP_OTHER_LIBTORCH` and its version in `TRAINLOOP_OTHER_VERSION`.

use std::process::Command;

use trainloop_c10d::{Error, FileStore, HashStore, TcpStore, check_libtorch};

const CHILD: &str = "TRAINLOOP_TEST_LOADED";

/// What each way into the crate says, one a line.
fn child() {
    let (within, path) = (std::time::Duration::from_secs(1), std::path::Path::new("/nowhere/store"));
    let refusals = [
        check_libtorch().err(),
        HashStore::open().err(),
        FileStore::open(path, 1).err(),
        TcpStore::serve(0, within).err(),
        TcpStore::connect("127.0.0.1", 1, within).err(),
    ];
    for error in refusals {
        match error {
            Some(Error::Version { operation, compiled, loaded }) => {
                println!("refused: {operation} {compiled} {loaded}");
            }
            other => println!("taken: {other:?}"),
        }
    }
}

#[test]
#[ignore = "needs a second libtorch: `cargo xtask test --libtorch 2.11`"]
fn another_libtorch_is_refused_with_both_versions() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let other = std::env::var_os("TRAINLOOP_OTHER_LIBTORCH").expect("TRAINLOOP_OTHER_LIBTORCH names its libraries");
    let loaded = std::env::var("TRAINLOOP_OTHER_VERSION").expect("TRAINLOOP_OTHER_VERSION says what they are");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "another_libtorch_is_refused_with_both_versions", "--nocapture"])
        .env(CHILD, "")
        .env("LD_LIBRARY_PATH", other)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let compiled = env!("TRAINLOOP_C10D_LIBTORCH");
    for operation in ["check_libtorch", "HashStore::open", "FileStore::open", "TcpStore::serve", "TcpStore::connect"] {
        assert!(text.contains(&format!("refused: {operation} {compiled} {loaded}\n")), "{operation}: {text}");
    }
    assert!(output.status.success() && !text.contains("taken: "), "{text}");
}
