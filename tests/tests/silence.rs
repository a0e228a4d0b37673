//! Ranks that say nothing: a process that is stopped, a loop that never reports, ranks that wait for different things. Each is
//! named, with what every rank last did.

mod common;

use std::net::Shutdown;

use common::{Sandbox, kill};
use rustix::process::Signal;
use serde_json::{Value, json};
use trainloop_tests::chaos::Process;
use trainloop_tests::scenario::Act;

fn who_and_how(failure: &Value) -> (u64, &str) {
    (failure["rank"].as_u64().unwrap(), failure["kind"].as_str().unwrap())
}

/// SIGSTOP: the process is there, its connections are there, and it says nothing. The other rank, which waits for it, beats.
#[test]
fn a_process_that_is_stopped_is_found() {
    let sandbox = Sandbox::new();
    let rank_0 = vec![Act::Report(1), Act::Barrier, Act::Barrier];
    let rank_1 = vec![Act::Report(1), Act::Barrier, Act::Print("asleep".into()), Act::Sleep];
    let mut running = sandbox.scenario_with("run", &[rank_0, rank_1], |scenario| scenario.heartbeat = Some((50, 5000)));
    running.await_lines(&["[rank 1] asleep"]);
    kill(sandbox.pid_of_rank(1), Signal::STOP);
    let ended = running.end();
    sandbox.assert_no_process();
    let failure = ended.json();
    assert_eq!(who_and_how(&failure), (1, "silent"), "{ended:#?}");
    let table = failure["activity"].as_array().unwrap();
    assert_eq!(table[0], "rank 0: step 0, 1 report, in collective 2 (barrier)");
    // What it did in its last moments it had no time to say.
    assert!(table[1].as_str().unwrap().starts_with("rank 1: step 0, 1 report, "), "{table:#?}");
    assert!(ended.stderr.contains("rank 1 was not heard of for 5s: its process is stopped"), "{ended:#?}");
    assert!(ended.stderr.contains("\n    rank 0: step 0, 1 report, in collective 2 (barrier)\n"), "{ended:#?}");
}

/// The channel is shut, as by a loop that shuts down sockets which are not its own. No heartbeat's timeout is waited for.
#[track_caller]
fn channel_is_shut(how: Shutdown, kind: &str, words: &[&str]) {
    let sandbox = Sandbox::new();
    let acts = |word: &str| vec![Act::Report(1), Act::Barrier, Act::Print(word.into()), Act::Sleep];
    let ranks = [acts("here"), acts("here, too")];
    let mut running = sandbox.scenario_with("run", &ranks, |scenario| scenario.heartbeat = Some((50, 600_000)));
    running.await_lines(&["[rank 0] here", "[rank 1] here, too"]);
    Process::open(sandbox.pid_of_rank(1) as u32).unwrap().shut_channel(how).unwrap();
    let ended = running.end();
    sandbox.assert_no_process();
    assert_eq!(who_and_how(&ended.json()), (1, kind), "{ended:#?}");
    for words in words {
        assert!(ended.stderr.contains(words), "no {words:?}: {ended:#?}");
    }
}

#[test]
fn a_process_that_shuts_its_channel_is_found() {
    let words = "rank 1 shut its channel to the driver while its process went on";
    channel_is_shut(Shutdown::Write, "channel closed", &[words]);
}

/// Then the process sees it itself.
#[test]
fn a_process_that_can_hear_no_more_says_so() {
    let words = "| error: this rank ends, as its channel to the driver has ended";
    channel_is_shut(Shutdown::Both, "signal", &["rank 1 was killed by signal 9", words]);
    channel_is_shut(Shutdown::Read, "signal", &["rank 1 was killed by signal 9", words]);
}

/// A loop that computes for longer than the heartbeat's timeout, without a word, is alive.
#[test]
fn a_long_computation_is_no_silence() {
    let sandbox = Sandbox::new();
    let acts = vec![Act::ComputeFor(7000), Act::Barrier, Act::Report(1)];
    let running = sandbox.scenario_with("run", &[acts.clone(), acts], |scenario| scenario.heartbeat = Some((50, 3000)));
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.json()["reports"], 1);
}

/// A rank that sleeps outside any collective, while another waits for it in one: both are late, the sleeper is named.
#[test]
fn a_rank_that_never_reports_again_is_named() {
    let sandbox = Sandbox::new();
    let rank_0 = vec![Act::Steps(2), Act::Report(2), Act::Barrier];
    let rank_1 = vec![Act::Steps(2), Act::Report(2), Act::Sleep];
    let running = sandbox.scenario_with("run", &[rank_0, rank_1], |scenario| {
        scenario.heartbeat = Some((50, 60_000));
        scenario.report_timeout = Some(4000);
    });
    let ended = running.end();
    sandbox.assert_no_process();
    let failure = ended.json();
    assert_eq!(who_and_how(&failure), (1, "late"), "{ended:#?}");
    assert_eq!((&failure["steps"], &failure["reports"]), (&json!(2), &json!(2)));
    let table = failure["activity"].as_array().unwrap();
    assert!(table[0].as_str().unwrap().contains("step 2, 2 reports, in collective 3 (barrier)"), "{table:#?}");
    assert!(table[1].as_str().unwrap().contains("step 2, 2 reports, out of collective 2"), "{table:#?}");
    assert!(ended.stderr.contains("rank 1 made no report for 4s"), "{ended:#?}");
}

/// Ranks that report in time, in a run that takes longer than the timeout, are not late.
#[test]
fn the_report_timeout_begins_anew_with_each_report() {
    let sandbox = Sandbox::new();
    let acts: Vec<Act> = (0..4).flat_map(|_| [Act::ComputeFor(1000), Act::Report(1)]).collect();
    let running = sandbox.scenario_with("run", &[acts.clone(), acts], |scenario| scenario.report_timeout = Some(3500));
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.json()["reports"], 4);
}

/// Collectives that a loop does itself on the process group are in the table as those of the context; what goes on in the
/// background is none that is waited in.
#[test]
fn collectives_on_the_group_are_told_too() {
    let sandbox = Sandbox::new();
    let ranks = [vec![Act::GroupBegin, Act::GroupAllGather], vec![Act::GroupBegin, Act::Barrier]];
    let ended = sandbox.scenario_with("run", &ranks, |scenario| scenario.collective_timeout_seconds = 3).end();
    sandbox.assert_no_process();
    let failure = ended.json();
    assert_eq!(failure["kind"], "desynchronised", "{ended:#?}");
    let table = json!([
        "rank 0: step 0, 0 reports, in collective 2 (all-gather)",
        "rank 1: step 0, 0 reports, in collective 2 (barrier)",
    ]);
    assert_eq!(failure["activity"], table);

    let ranks = [
        vec![Act::GroupAllGather, Act::GroupBegin, Act::Sleep],
        vec![Act::GroupAllGather, Act::GroupBegin, Act::Exit(3)],
    ];
    let failure = sandbox.scenario("background", &ranks).end().json();
    assert_eq!(who_and_how(&failure), (1, "exit"));
}

/// One waits in a barrier, the other in an all-reduce: neither comes to the other, and the timeout says so.
#[test]
fn ranks_in_different_collectives_are_told() {
    let sandbox = Sandbox::new();
    let ranks = [vec![Act::Barrier, Act::Barrier], vec![Act::Barrier, Act::AllReduce]];
    let ended = sandbox.scenario_with("run", &ranks, |scenario| scenario.collective_timeout_seconds = 3).end();
    sandbox.assert_no_process();
    let failure = ended.json();
    assert_eq!(failure["kind"], "desynchronised", "{ended:#?}");
    let table = json!([
        "rank 0: step 0, 0 reports, in collective 2 (barrier)",
        "rank 1: step 0, 0 reports, in collective 2 (all-reduce)",
    ]);
    assert_eq!(failure["activity"], table);
    assert!(ended.stderr.contains("was in another collective than its peers"), "{ended:#?}");
}
