//! Loops and callbacks of another crate, which knows `trainloop` by another name; and a worker that is another program.

mod common;

use common::{Running, Sandbox};

/// The attribute's options are the run's: two workers, the name, one checkpoint kept. The callbacks of that crate run, one of
/// them on rank 0 alone, and the state is built, saved and, in a second run of the name, restored.
#[test]
fn a_loop_of_another_crate_runs_with_its_options_state_and_callbacks() {
    let sandbox = Sandbox::new();
    for _ in ["a new run", "one that is gone on with"] {
        let ended = Running::start(sandbox.command(env!("CARGO_BIN_EXE_elsewhere"))).end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let expected = "3 Some(Counted { round: 3, seen: 12 }) runs/counted";
        assert_eq!(ended.stdout.trim(), expected);
    }
    let kept = std::fs::read_dir(sandbox.storage().join("counted/checkpoints")).unwrap().count();
    assert_eq!(kept, 1);
}

#[test]
fn a_worker_that_is_another_program_is_refused_with_the_difference() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_elsewhere"));
    command.arg("--other").env("TRAINLOOP_TEST_OTHER", env!("CARGO_BIN_EXE_reports"));
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for said in [
        "this worker runs another binary than the driver: the worker's lacks callback `trainloop_test_loops::see",
        "train loop `trainloop_test_loops::count`, and the driver's lacks train loop `reports::report`",
    ] {
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    sandbox.assert_no_process();
}
