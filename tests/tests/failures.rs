//! One rank of three fails: `fit` names it, says why, and leaves no process.

mod common;

use common::{Ended, Running, Sandbox, json_lines, kill};
use rustix::process::Signal;
use serde_json::json;
use trainloop_tests::scenario::Act;

/// The ways in which rank 1 ends, and how `fit` tells of them: kind and message.
fn ways() -> [(&'static str, Act, &'static str, &'static str); 6] {
    [
        ("panic", Act::Panic("the loss is a banana".into()), "panic", "the loss is a banana"),
        ("wordless", Act::PanicWithoutWords, "panic", "a panic without a message"),
        ("user", Act::UserError, "error", "the tokenizer is missing: vocab.json was not written"),
        ("library", Act::LibraryError, "error", "cannot open /nowhere/images: No such file or directory (os error 2)"),
        ("killed", Act::KillItself, "signal", "9"),
        ("exit", Act::Exit(3), "exit", "3"),
    ]
}

/// Rank 1 ends in every way while the others do `meanwhile`.
fn rank_1_ends_while_others(meanwhile: &Act) {
    let sandbox = Sandbox::new();
    for (name, end, kind, message) in ways() {
        let others = vec![Act::Report(3), Act::Print("on my way".into()), Act::Ready, meanwhile.clone()];
        let rank_1 = vec![
            Act::Report(2),
            Act::AwaitReady(2),
            Act::PrintError("the last but one line".into()),
            Act::Print("the last line of rank 1".into()),
            end,
        ];
        let ended = sandbox.scenario(name, &[others.clone(), rank_1, others]).end();
        sandbox.assert_no_process();

        assert_eq!(ended.code, Some(1), "{name}: {ended:#?}");
        let failure = ended.json();
        assert_eq!(failure["rank"], 1, "{name}: {ended:#?}");
        assert_eq!(failure["kind"], kind, "{name}: {ended:#?}");
        assert_eq!(failure["message"], message, "{name}: {ended:#?}");
        assert_eq!(failure["reports"], 2, "{name}: {ended:#?}");
        let tail: Vec<&str> =
            failure["log_tail"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        assert!(tail.contains(&"the last but one line") && tail.contains(&"the last line of rank 1"), "{tail:?}");
        assert!(!tail.contains(&"on my way"), "{tail:?}");
        if kind == "panic" {
            let location = failure["location"].as_str().unwrap();
            let words = if name == "panic" { "=> panic!" } else { "panic_any" };
            assert_eq!(location, line_of_scenario(words));
        }
        says_so_to_the_user(&ended, name);
        let log = sandbox.storage().join(name).join("logs/rank-1.log");
        assert_eq!(failure["log"], log.to_str().unwrap());
        assert!(std::fs::read_to_string(log).unwrap().contains("the last line of rank 1\n"));
        let reports = json_lines(&sandbox.storage().join(name).join("reports.jsonl"));
        assert_eq!(reports.iter().filter(|report| report["rank"] == 1).count(), 2, "{name}: {reports:#?}");
    }
}

/// The error is the last that the program prints, it begins with the rank, and it ends with the log's end.
#[track_caller]
fn says_so_to_the_user(ended: &Ended, name: &str) {
    let (_, error) = ended.stderr.split_once("\nerror: ").unwrap_or_else(|| panic!("{name}: {ended:#?}"));
    assert!(error.starts_with("rank 1 "), "{name}: {error}");
    assert!(error.contains("after 2 reports"), "{name}: {error}");
    assert!(error.contains("    | the last line of rank 1\n"), "{name}: {error}");
}

fn line_of_scenario(words: &str) -> String {
    let source = include_str!("../src/bin/scenario.rs");
    let line = source.lines().position(|line| line.contains(words)).unwrap() + 1;
    format!("tests/src/bin/scenario.rs:{line}")
}

/// The others sleep: nothing but the controller can end them.
#[test]
fn a_rank_ends_while_others_sleep() {
    rank_1_ends_while_others(&Act::Sleep);
}

/// The others wait in a collective: its failure on their side is a consequence, however early it is heard of.
#[test]
fn a_rank_ends_while_others_wait_in_a_collective() {
    rank_1_ends_while_others(&Act::Barrier);
}

/// The others compute and never look up.
#[test]
fn a_rank_ends_while_others_compute() {
    rank_1_ends_while_others(&Act::Compute);
}

/// A rank killed from outside, by its pid, in the middle of many collectives.
#[test]
fn a_rank_is_killed_from_outside() {
    let sandbox = Sandbox::new();
    let acts = vec![Act::Barrier, Act::Print("in the middle".into()), Act::AllReduceForEver];
    for victim in 0..3 {
        let name = format!("victim-{victim}");
        let mut running = sandbox.scenario(&name, &[acts.clone(), acts.clone(), acts.clone()]);
        running.await_lines(&["[rank 0] in the middle", "[rank 1] in the middle", "[rank 2] in the middle"]);
        kill(sandbox.pid_of_rank(victim), Signal::KILL);
        let ended = running.end();
        sandbox.assert_no_process();
        let failure = ended.json();
        assert_eq!((&failure["rank"], &failure["kind"]), (&json!(victim), &json!("signal")), "{ended:#?}");
        assert!(ended.stderr.contains("killed by signal 9 (SIGKILL)"), "{ended:#?}");
    }
}

/// A rank that returns before the others is the failure, not those that then miss it: whether they report, or wait for it.
#[test]
fn a_rank_returns_early() {
    let sandbox = Sandbox::new();
    let cases = [
        ("reporting", vec![Act::Report(1), Act::FloodReports]),
        ("waiting", vec![Act::Report(1), Act::Barrier]),
        ("reporting-then-asleep", vec![Act::Report(2), Act::Sleep]),
    ];
    for (name, others) in cases {
        let ended = sandbox.scenario(name, &[others.clone(), vec![Act::Report(1)], others]).end();
        sandbox.assert_no_process();
        let failure = ended.json();
        assert_eq!((&failure["rank"], &failure["kind"]), (&json!(1), &json!("returned early")), "{name}: {ended:#?}");
        assert!(ended.stderr.contains("error: rank 1 returned from the loop while other ranks went on"), "{ended:#?}");
    }
}

/// Rank 0 reports again after rank 1 has gone, and then would sleep: it is told at once, by nothing but that report, with
/// which a checkpoint may come.
#[test]
fn a_report_after_a_return_is_told_at_once() {
    let sandbox = Sandbox::new();
    let rank_0 = vec![Act::Report(1), Act::AwaitEnd(1), Act::Report(1), Act::Sleep];
    let rank_1 = vec![Act::Report(1), Act::Ready];
    let ended = sandbox.scenario("run", &[rank_0, rank_1]).end();
    sandbox.assert_no_process();
    let failure = ended.json();
    assert_eq!((&failure["rank"], &failure["kind"]), (&json!(1), &json!("returned early")), "{ended:#?}");
    assert_eq!(failure["reports"], 1, "{ended:#?}");
    let activity = failure["activity"][0].as_str().unwrap();
    assert!(activity.contains("2 reports") && !activity.contains("returned"), "{activity}");
}

/// A rank that prints or reports without end does not keep the driver from hearing of another's failure, nor of a signal.
#[test]
fn a_flood_hides_nothing() {
    let sandbox = Sandbox::new();
    let fails = vec![Act::AwaitReady(2), Act::UserError];
    for (name, flood) in [("output", Act::FloodOutput), ("reports", Act::FloodReports)] {
        let floods = vec![Act::Ready, flood];
        let ended = sandbox.scenario(name, &[floods.clone(), fails.clone(), floods]).end();
        sandbox.assert_no_process();
        assert_eq!(ended.json()["rank"], 1, "{name}");
    }
}

/// Ranks that wait in vain for one that does not come: that one is named, and that the driver then ended it is not told as
/// if the system had.
#[test]
fn a_collective_times_out() {
    let sandbox = Sandbox::new();
    let ranks = [vec![Act::Barrier], vec![Act::Report(2), Act::Print("asleep".into()), Act::Sleep], vec![Act::Barrier]];
    let ended = sandbox.scenario_with("run", &ranks, |scenario| scenario.collective_timeout_seconds = 5).end();
    sandbox.assert_no_process();
    let failure = ended.json();
    assert_eq!((&failure["rank"], &failure["kind"]), (&json!(1), &json!("missed collective")), "{ended:#?}");
    assert_eq!((&failure["reports"], &failure["consequences"]), (&json!(2), &json!([0, 2])), "{ended:#?}");
    assert!(ended.stderr.contains("imed out") && ended.stderr.contains("| asleep"), "{ended:#?}");
    assert!(!ended.stderr.contains("SIGKILL"), "{ended:#?}");
}

/// One mistake in the code of all ranks is one failure, with the list of ranks and the step.
#[test]
fn the_same_error_of_several_ranks_is_one() {
    let sandbox = Sandbox::new();
    let acts = vec![Act::Steps(3), Act::Report(1), Act::Ready, Act::AwaitReady(3), Act::UserError];
    let ended = sandbox.scenario("run", &[acts.clone(), acts.clone(), acts]).end();
    sandbox.assert_no_process();
    let failure = ended.json();
    assert_eq!((&failure["kind"], &failure["steps"], &failure["reports"]), (&json!("error"), &json!(3), &json!(1)));
    assert_eq!((&failure["generation"], &failure["consequences"]), (&json!(1), &json!([])), "{ended:#?}");
    let rank = failure["rank"].as_u64().unwrap();
    let mut ranks: Vec<u64> = failure["also"].as_array().unwrap().iter().map(|rank| rank.as_u64().unwrap()).collect();
    ranks.push(rank);
    ranks.sort_unstable();
    assert_eq!(ranks, [0, 1, 2], "{ended:#?}");
    assert!(ended.stderr.contains("\n  at step 3, after 1 report\n"), "{ended:#?}");
    assert!(ended.stderr.contains("failed with the same error"), "{ended:#?}");
}

/// Where `RUST_BACKTRACE` asks for it, the failure shows where the panic or the error was made; otherwise it does not.
#[test]
fn backtraces_come_where_they_are_asked_for() {
    let sandbox = Sandbox::new();
    let panics = ("panic", Act::Panic("a banana".into()), "scenario::act");
    let fails = ("anyhow", Act::AnyhowError("no luck".into()), "scenario::no_luck");
    for (name, act, function) in [panics, fails] {
        for asked in [true, false] {
            let mut command = sandbox.scenario_command(&format!("{name}-{asked}"), &[vec![act.clone()]], |_| {});
            if asked {
                command.env("RUST_BACKTRACE", "1");
            }
            let ended = Running::start(command).end();
            let backtrace = ended.json()["backtrace"].clone();
            match backtrace.as_str() {
                Some(text) => assert!(asked && text.contains(function) && ended.stderr.contains("\n  backtrace:\n")),
                None => assert!(!asked, "{name}: {ended:#?}"),
            }
        }
    }
}

/// A failed run does not spoil the process: `fit` can be called again.
#[test]
fn fit_can_be_called_again() {
    let sandbox = Sandbox::new();
    let ranks = [vec![Act::Report(1), Act::Barrier], vec![Act::Report(1), Act::Barrier]];
    let ended = sandbox.scenario_with("first", &ranks, |scenario| scenario.again = Some("second".to_owned())).end();
    sandbox.assert_no_process();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for name in ["first", "second"] {
        assert_eq!(json_lines(&sandbox.storage().join(name).join("reports.jsonl")).len(), 2);
    }
}
