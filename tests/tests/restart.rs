//! After a failure the group starts again from the latest checkpoint, so often and no oftener.

mod common;
mod script_common;

use common::{Sandbox, await_that, kill};
use rustix::process::Signal;
use script_common::{Play, error, files, names, report};
use serde_json::json;
use trainloop_tests::script::Act;

/// A worker that kills itself each time: 0 and 2 further starts, and one that works the third time.
#[test]
fn restarts_are_counted_exactly() {
    for max_failures in [0, 2] {
        let sandbox = Sandbox::new();
        let play = Play { max_failures, ..Play::new(&sandbox, 1) };
        play.fail(&sandbox, &vec![vec![vec![report("1"), Act::KillItself]]], &["rank 0", "SIGKILL"]);
        assert_eq!(play.starts(), max_failures + 1);
        assert!(!play.run().join("outcome.json").exists());
    }
    let sandbox = Sandbox::new();
    let play = Play { max_failures: 2, ..Play::new(&sandbox, 1) };
    let fails = vec![vec![Act::KillItself]];
    let outcome = play.finish(&sandbox, &vec![fails.clone(), fails, vec![vec![report("1")]]]);
    assert_eq!((&outcome["restarts"], play.starts()), (&json!(2), 3));
}

/// The same error from the same checkpoint is tried once more and no oftener; with a checkpoint in between it is not the
/// same.
#[test]
fn the_same_error_is_not_tried_for_ever() {
    let words = "the same error came again from the same checkpoint";
    let sandbox = Sandbox::new();
    let play = Play { max_failures: 9, ..Play::new(&sandbox, 1) };
    let ended = play.fail(&sandbox, &vec![vec![vec![report("1"), error("out of luck")]]], &["out of luck", words]);
    assert_eq!(play.starts(), 2, "{ended:#?}");

    let sandbox = Sandbox::new();
    let play = Play { max_failures: 3, ..Play::new(&sandbox, 1) };
    let ended = play.fail(&sandbox, &vec![vec![vec![files("1", &[("a", 1)]), error("out of luck")]]], &["out of luck"]);
    assert_eq!(play.starts(), 4, "{ended:#?}");
    assert!(!ended.stderr.contains(words), "{ended:#?}");
}

/// Reports go on with their numbers after the checkpoint; one that is made again counts once, as it was made last; numbers
/// that JSON does not have survive.
#[test]
fn reports_go_on_with_their_numbers() {
    let sandbox = Sandbox::new();
    let play = Play { max_failures: 1, score: Some("max"), ..Play::new(&sandbox, 2) };
    let first = vec![report("1"), files("2", &[]), report("3"), Act::Barrier, Act::KillItself];
    let second =
        vec![Act::ShowCheckpoint, report("30"), report("NaN"), files("NaN", &[]), report("-inf"), report("inf")];
    let outcome = play.finish(&sandbox, &vec![vec![first.clone(), first], vec![second.clone(), second]]);
    let checkpoint = |index: u64, value: &str| json!({ "index": index, "value": value, "world_size": 2 });
    assert_eq!(
        outcome,
        json!({
            "value": "inf",
            "reports": 7,
            "rounds": 7,
            "restarts": 1,
            "history": ["1", "2", "30", "NaN", "NaN", "-inf", "inf"],
            "latest": checkpoint(1, "NaN"),
            "best": checkpoint(0, "2"),
        })
    );
}

/// A rank is killed when it has given its part of a checkpoint and another still writes: the next start has the one before,
/// and nothing of the half-written one.
#[test]
fn half_a_checkpoint_is_none() {
    let sandbox = Sandbox::new();
    let play = Play { max_failures: 1, ..Play::new(&sandbox, 2) };
    let first = vec![
        vec![files("1", &[("a", 10)]), files("2", &[("a", 10)])],
        vec![files("1", &[]), Act::PausingState("2".to_owned())],
    ];
    let second = vec![vec![Act::ShowCheckpoint, files("3", &[])], vec![files("3", &[])]];
    let mut running = play.start(&sandbox, &vec![first, second]);
    let staged = play.run().join("checkpoints/.staging-1");
    await_that("rank 0 has written", || staged.join("a").exists());
    await_that("rank 1 still writes", || sandbox.path().join("paused-1").exists());
    assert_eq!(names(&staged), ["a"]);
    kill(sandbox.pid_of_rank(0), Signal::KILL);
    running.await_lines(&["begins from checkpoint 0"]);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.json()["history"], json!(["1", "3"]));
    let indices: Vec<String> = play.folders();
    assert!(!indices.iter().any(|name| name.starts_with('.')) && indices.len() == 2, "{indices:?}");
    sandbox.assert_no_process();
}
