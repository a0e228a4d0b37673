//! After a failure the group starts again from the latest checkpoint, so often and no oftener.

mod common;
mod script_common;

use common::{Sandbox, await_that, kill};
use rustix::process::Signal;
use script_common::{Play, error, files, names, report};
use serde_json::json;
use trainloop::trainer::StateChange;
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

/// Without a limit as often as it takes.
#[test]
fn restarts_without_a_limit() {
    let sandbox = Sandbox::new();
    let play = Play { unlimited: true, ..Play::new(&sandbox, 1) };
    let fails = vec![vec![report("1"), Act::KillItself]];
    let mut script = vec![fails; 5];
    script.push(vec![vec![report("1")]]);
    let outcome = play.finish(&sandbox, &script);
    assert_eq!((&outcome["restarts"], play.starts()), (&json!(5), 6));
}

/// Rank 1 is killed before its loop begins, each time; the other never begins its own alone. Such failures have a limit of
/// their own.
#[test]
fn failed_starts_are_counted_apart() {
    let words = ["rank 1 was killed by signal 9", "before its loop began"];
    for (max_failures, max_start_failures, unlimited, starts) in
        [(0, None, false, 1), (5, Some(0), false, 1), (0, Some(2), false, 3), (1, None, false, 2), (0, None, true, 4)]
    {
        let sandbox = Sandbox::new();
        let fault = "worker/before-loop=kill rank=1";
        let play = Play { max_failures, unlimited, max_start_failures, fault, ..Play::new(&sandbox, 2) };
        let ended = play.fail(&sandbox, &vec![vec![vec![Act::Barrier], vec![Act::Barrier]]], &words);
        assert_eq!(play.starts(), starts, "{ended:#?}");
        let why = format!("`max_start_failures` is {}", starts - 1);
        assert_eq!(ended.stderr.contains(&why), starts > 1, "{ended:#?}");
    }
}

/// Nobody joins within a millisecond: tried again as often as starts are.
#[test]
fn a_start_that_takes_too_long() {
    let sandbox = Sandbox::new();
    let play = Play { max_start_failures: Some(1), start_timeout_ms: Some(1), ..Play::new(&sandbox, 2) };
    play.fail(&sandbox, &vec![vec![vec![report("1")]]], &["did not join in time"]);
    assert_eq!(play.starts(), 2);
    let states: Vec<String> = play.states().into_iter().map(|(state, _)| state).collect();
    assert_eq!(states, ["initializing", "scheduling", "restarting", "scheduling", "errored"]);
}

/// The error of a run that failed has its metrics and its checkpoints.
#[test]
fn the_error_has_what_there_is() {
    let sandbox = Sandbox::new();
    let play = Play { max_failures: 1, score: Some("max"), ..Play::new(&sandbox, 2) };
    let first = vec![files("2", &[]), files("1", &[]), Act::Barrier, Act::KillItself];
    let second = vec![report("3"), Act::Barrier, error("out of luck")];
    let ended = play.fail(&sandbox, &vec![vec![first.clone(), first], vec![second.clone(), second]], &["out of luck"]);
    let expected =
        json!({ "reports": 3, "restarts": 1, "history": ["2", "1", "3"], "last": "3", "latest": 1, "best": 0 });
    assert_eq!(ended.json(), expected, "{ended:#?}");
    assert!(ended.stderr.contains("in generation 2, after 3 reports"), "{ended:#?}");

    let sandbox = Sandbox::new();
    let play = Play { score: Some("max"), ..Play::new(&sandbox, 0) };
    let acts = vec![files("2", &[]), files("1", &[]), report("3"), error("out of luck")];
    let ended = play.fail(&sandbox, &vec![vec![acts]], &["error: out of luck\n"]);
    let expected =
        json!({ "reports": 3, "restarts": 0, "history": ["2", "1", "3"], "last": "3", "latest": 1, "best": 0 });
    assert_eq!(ended.json(), expected, "{ended:#?}");
}

/// Every state of a run that fails, starts again, and fails for good; then of the next call of `fit`.
#[test]
fn states_are_recorded() {
    let sandbox = Sandbox::new();
    let play = Play { max_failures: 1, ..Play::new(&sandbox, 2) };
    let fails = vec![vec![Act::Barrier, report("1"), Act::Barrier], vec![Act::Barrier, Act::KillItself]];
    play.fail(&sandbox, &vec![fails.clone(), fails], &["rank 1 was killed"]);
    let ends = vec![vec![Act::Barrier], vec![Act::Barrier]];
    play.finish(&sandbox, &vec![ends.clone(), ends.clone(), ends]);
    let plain = |state: &str| (state.to_owned(), None);
    let by_rank_1 = |state: &str| (state.to_owned(), Some(1));
    let expected = vec![
        plain("initializing"),
        plain("scheduling"),
        plain("running"),
        by_rank_1("restarting"),
        plain("scheduling"),
        plain("running"),
        by_rank_1("errored"),
        plain("initializing"),
        plain("scheduling"),
        plain("running"),
        plain("shutting down"),
        plain("finished"),
    ];
    assert_eq!(play.states(), expected);
    let changes = StateChange::of_run(play.run()).unwrap();
    let generations: Vec<u64> = changes.iter().map(|change| change.generation).collect();
    assert_eq!(generations, [1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]);
    assert!(changes[3].why.starts_with("rank 1 was killed by signal 9"), "{changes:#?}");
    for pair in changes.windows(2).filter(|pair| pair[1].from.is_some()) {
        assert_eq!(pair[1].from, Some(pair[0].to));
        assert!(pair[0].unix_time <= pair[1].unix_time && pair[0].world_size == 2);
    }
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
