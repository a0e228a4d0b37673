//! What workers print reaches log and terminal, whatever it is; what they start goes with them.

mod common;

use std::fs;

use common::Sandbox;
use trainloop_tests::scenario::Act;

/// A million bytes without a line end, bytes that are no UTF-8, an unfinished last line: all of it is in the rank's log, and
/// on the terminal behind the rank.
#[test]
fn nothing_that_a_worker_prints_is_lost() {
    let sandbox = Sandbox::new();
    let rank_0 = vec![
        Act::PrintBytes(1_000_000),
        Act::Print(String::new()),
        Act::PrintError("to standard error".into()),
        Act::PrintRaw(b"\xff\xfe caf\xe9 \x1b[31m".to_vec()),
    ];
    let rank_1 = vec![Act::PrintRaw(b"no end of line".to_vec())];
    let ended = sandbox.scenario("run", &[rank_0, rank_1]).end();
    sandbox.assert_no_process();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let logs = sandbox.storage().join("run/logs");
    let log = fs::read(logs.join("rank-0.log")).unwrap();
    assert_eq!(String::from_utf8_lossy(&log).matches('x').count(), 1_000_000);
    assert!(log.windows(7).any(|bytes| bytes == b"\xff\xfe caf\xe9"), "bytes are kept as they are");
    assert!(String::from_utf8_lossy(&log).contains("to standard error\n"));
    assert_eq!(fs::read(logs.join("rank-1.log")).unwrap(), b"no end of line\n");

    let shown = ended.stdout.lines().filter_map(|line| line.strip_prefix("[rank 0] "));
    assert_eq!(shown.map(|line| line.matches('x').count()).sum::<usize>(), 1_000_000);
    assert!(ended.stdout.contains("[rank 0] \u{fffd}\u{fffd} caf\u{fffd}"), "shown as well as can be");
    assert!(ended.stdout.contains("[rank 1] no end of line\n"));
    assert!(ended.stderr.contains("[rank 0] to standard error\n"));
}

/// The error shows the last lines of a long log, and no more.
#[test]
fn the_error_shows_the_end_of_a_long_log() {
    let sandbox = Sandbox::new();
    let lines = (1..=100).map(|line| Act::Print(format!("line {line} of 100")));
    let ranks = [lines.chain([Act::PrintRaw(b"the last words".to_vec()), Act::KillItself]).collect(), vec![Act::Sleep]];
    let ended = sandbox.scenario("run", &ranks).end();
    let failure = ended.json();
    let tail: Vec<&str> = failure["log_tail"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(tail.len(), 20, "{tail:?}");
    assert_eq!((tail[0], tail[18], tail[19]), ("line 82 of 100", "line 100 of 100", "the last words"));
    let log = fs::read_to_string(sandbox.storage().join("run/logs/rank-0.log")).unwrap();
    assert!(log.starts_with("line 1 of 100\n") && log.ends_with("the last words\n"), "{log}");
}

/// Processes that a worker has started and not waited for are gone at the end, be it good, an error or a death; they do not
/// delay it, though they hold the worker's output open.
#[test]
fn what_a_worker_has_started_goes_with_it() {
    let sandbox = Sandbox::new();
    let ends = [("good", vec![]), ("error", vec![Act::UserError]), ("death", vec![Act::KillItself])];
    for (name, end) in ends {
        let code = i32::from(!end.is_empty());
        let ranks = [[vec![Act::StartGrandchild], end].concat(), vec![Act::StartGrandchild]];
        let ended = sandbox.scenario(name, &ranks).end();
        sandbox.assert_no_process();
        assert_eq!(ended.code, Some(code), "{ended:#?}");
        assert!(ended.stdout.contains("[rank 0] grandchild "), "{ended:#?}");
    }
}
