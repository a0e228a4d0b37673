//! A run that is killed again and again ends as one that was never killed: the short form of `cargo xtask chaos`.

use std::path::PathBuf;

use trainloop_tests::chaos::{Options, Verdict, run};

/// At a few points of the code, and at a few moments of training.
#[test]
fn a_run_that_is_killed_again_and_again_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_chaos"));
    let options = Options { program, folder: folder.path().to_owned(), kills: 6, seed: 1 };
    let verdict = run(&options, &mut |line| println!("{line}")).unwrap();
    let expected = Verdict { kills: 6, bit_equal: true, samples_lost: 0, samples_repeated: 0, damaged_checkpoints: 0 };
    assert_eq!(verdict, expected);
}
