//! A run that is killed again and again, or that meets faults of all kinds, ends as one that was left alone: the short forms
//! of `cargo xtask chaos`.

use std::path::PathBuf;
use std::time::Duration;

use trainloop_tests::chaos::{KINDS, Options, Ordeal, Verdict, endure, run};

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

/// Each kind once: a rank that is killed, one that is stopped, one that is slow and not to be taken for dead, a connection
/// that is shut down, a disk that is full.
#[test]
fn a_run_lives_through_faults_of_all_kinds_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ordeal = Ordeal {
        program: PathBuf::from(env!("CARGO_BIN_EXE_chaos")),
        folder: folder.path().to_owned(),
        of_each: 1,
        time: Duration::from_secs(10),
        seed: 1,
        silence: Duration::from_secs(3),
    };
    let verdict = endure(&ordeal, &mut |line| println!("{line}")).unwrap();
    assert_eq!((verdict.faults, verdict.recovered, verdict.hangs), (KINDS, KINDS, 0), "{verdict:?}");
    assert!(verdict.is_whole(), "{verdict:?}");
}
