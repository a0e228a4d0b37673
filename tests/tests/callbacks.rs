//! Callbacks of every event, in every process, where all goes well and where one of them does not.

mod common;

use common::{Ended, Running, Sandbox, json_lines};

/// Runs the program `callbacks`; gives its end and what the callbacks have noted.
fn run(sandbox: &Sandbox, workers: usize, train_loop: &str, fault: &str) -> (Ended, Vec<String>) {
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_callbacks"));
    command.args([&workers.to_string(), train_loop, fault]);
    // The callbacks' own fault comes first, before what the loop is to do.
    command.env("TRAINLOOP_TEST_FAULT", fault.split('+').next().unwrap());
    let ended = Running::start(command).end();
    sandbox.assert_no_process();
    let events = std::fs::read_to_string(sandbox.storage().join("run/events.txt")).unwrap_or_default();
    (ended, events.lines().map(str::to_owned).collect())
}

/// The events with both workers' reports in the order of ranks, which is not that of time.
fn in_order(mut events: Vec<String>) -> Vec<String> {
    for place in 1..events.len() {
        if events[place].contains("in worker 0") && events[place - 1].contains("in worker 1") {
            events.swap(place - 1, place);
        }
    }
    events
}

/// The function's name and place, as an error tells them.
fn callback(name: &str) -> String {
    let source = include_str!("../src/bin/callbacks.rs");
    let line = source.lines().position(|line| line.starts_with(&format!("fn {name}("))).unwrap() + 1;
    format!("callback `{name}` (tests/src/bin/callbacks.rs:{line}) failed: ")
}

/// Each event once, in its place and process, by the callbacks' order; a worker's callback changes what is kept and reduced;
/// a callback for other metrics or another loop does not run.
#[test]
fn every_event_of_a_run() {
    let sandbox = Sandbox::new();
    let (ended, events) = run(&sandbox, 2, "train", "");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let mut expected = vec!["start run with 2".to_owned()];
    for index in 0..2 {
        let step = index + 1;
        expected.extend([
            format!("report {index} in worker 0 of 2, true"),
            format!("report {index} in worker 1 of 2, true"),
            "  first, generation 1".to_owned(),
            format!("report {step} in driver: 0.5 3 [1, 2]"),
            "  last".to_owned(),
            format!("checkpoint {index} with Some({step}) and None, true"),
        ]);
    }
    expected.push("end after 0 restarts: Finished, Some(2)".to_owned());
    assert_eq!(in_order(events), expected);
    for line in json_lines(&sandbox.storage().join("run/reports.jsonl")) {
        assert_eq!(line["metrics"]["added"].as_u64(), line["rank"].as_u64().map(|rank| rank + 1));
    }
}

/// Without workers the same callbacks run, all in this process.
#[test]
fn every_event_in_one_process() {
    let sandbox = Sandbox::new();
    let (ended, events) = run(&sandbox, 0, "train", "");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let expected = [
        "start run with 1",
        "report 0 in worker 0 of 1, true",
        "  first, generation 1",
        "report 1 in driver: 0 1 [1]",
        "  last",
        "checkpoint 0 with Some(1) and None, true",
    ];
    assert_eq!(events[..6], expected);
    assert_eq!(events.len(), 12, "{events:#?}");
}

/// Another loop of the binary has its own callbacks, and those that name no metrics.
#[test]
fn another_loop_has_its_own_callbacks() {
    let sandbox = Sandbox::new();
    let (ended, events) = run(&sandbox, 2, "other", "");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let expected =
        ["the other loop starts", "start run with 2", "  first, generation 1", "a report of the other loop", "  last"];
    assert_eq!(events, expected, "`end` and `saved` name other metrics");
}

/// The first line of the error that the program ended with.
#[track_caller]
fn error(ended: &Ended) -> &str {
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let (_, error) = ended.stderr.rsplit_once("error: ").unwrap_or_else(|| panic!("{ended:#?}"));
    error.lines().next().unwrap()
}

/// An error or a panic of a callback ends the run and is its error, with the callback's name and place.
#[test]
fn a_callbacks_error_is_the_runs() {
    for (fault, name, words) in [
        ("start", "start", "the start is a banana"),
        ("driver", "with_numbers", "the driver is a banana"),
        ("driver-panic", "with_numbers", "it panicked: the driver is a tomato"),
        ("checkpoint", "saved", "the checkpoint is a banana"),
        ("end", "end", "the end is a banana"),
        ("state-running", "changed", "the state-running is a banana"),
        ("state-finished", "changed", "the state-finished is a banana"),
    ] {
        for workers in [0, 2] {
            let sandbox = Sandbox::new();
            let (ended, events) = run(&sandbox, workers, "train", fault);
            assert_eq!(error(&ended), callback(name) + words, "{fault}, {workers} workers");
            // It is no failure of a rank; the run's end is told, whatever it was.
            assert!(!events.iter().any(|event| event.starts_with("exception")), "{events:#?}");
            assert!(events.last().unwrap().starts_with("end after 0 restarts"), "{events:#?}");
        }
    }
}

/// In a worker it is that rank's failure.
#[test]
fn a_callbacks_error_in_a_worker_is_the_ranks() {
    for (fault, words) in
        [("report-1", "the report-1 is a banana"), ("report-1-panic", "it panicked: the report-1 is a tomato")]
    {
        let sandbox = Sandbox::new();
        let (ended, events) = run(&sandbox, 2, "train", fault);
        let expected = format!("rank 1 failed: {}{words}", callback("add"));
        assert_eq!(error(&ended), expected);
        assert!(events.contains(&format!("exception after 0 restarts: {expected}")), "{events:#?}");
        assert_eq!(events.last().unwrap(), &format!("end after 0 restarts: {expected}, None"));
    }
}

/// A callback on a failure, or on the end after one, cannot hide it.
#[test]
fn the_runs_own_error_is_not_masked() {
    for (fault, name) in [
        ("exception+loop", "failed"),
        ("exception-panic+loop", "failed"),
        ("end+loop", "end"),
        ("state-errored+loop", "changed"),
    ] {
        let sandbox = Sandbox::new();
        let (ended, _) = run(&sandbox, 2, "train", fault);
        assert!(error(&ended).ends_with("failed: the loop is a banana"), "{ended:#?}");
        assert!(ended.stderr.contains(&format!("warning: {}", callback(name))), "{ended:#?}");
    }
}

/// A failure is told before the restart; the callbacks go on with the next generation.
#[test]
fn an_exception_and_then_a_restart() {
    let sandbox = Sandbox::new();
    let (ended, events) = run(&sandbox, 2, "train", "+loop+restart");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let exceptions = events.iter().filter(|event| event.starts_with("exception after 0 restarts: rank")).count();
    assert_eq!(exceptions, 1, "{events:#?}");
    let place = |wanted: &str| events.iter().position(|event| event.starts_with(wanted)).unwrap();
    assert!(place("checkpoint 0") < place("exception") && place("exception") < place("restart 1 after failed: "));
    assert!(place("restart") < place("  first, generation 2") && events[place("restart")].ends_with("generation 2"));
    let states = std::fs::read_to_string(sandbox.storage().join("run/states.txt")).unwrap();
    let expected = [
        "nothing to initializing in generation 1 of 1",
        "initializing to scheduling in generation 1 of 1",
        "scheduling to running in generation 1 of 1",
        "running to restarting in generation 1 of 1",
        "restarting to scheduling in generation 2 of 2",
        "scheduling to running in generation 2 of 2",
        "running to shutting down in generation 2 of 2",
        "shutting down to finished in generation 2 of 2",
    ];
    assert_eq!(states.lines().collect::<Vec<_>>(), expected);
    assert_eq!(events.iter().filter(|event| event.starts_with("start")).count(), 1);
    assert_eq!(events.last().unwrap(), "end after 1 restarts: Finished, Some(2)");
}

/// A callback that can never run is found before anything is.
#[test]
fn a_callback_that_fits_no_loop() {
    let sandbox = Sandbox::new();
    let ended = Running::start(sandbox.command(env!("CARGO_BIN_EXE_callbacks_misfit"))).end();
    let error = error(&ended);
    let line = include_str!("../src/bin/callbacks_misfit.rs").lines().position(|line| line.starts_with("fn misfit"));
    let place =
        format!("callback `misfit` (tests/src/bin/callbacks_misfit.rs:{}) fits no train loop", line.unwrap() + 1);
    assert!(error.starts_with(&place), "{error}");
    assert!(
        error.contains("the metrics `callbacks_misfit::Numbers`; `callbacks_misfit::train` reports `()`"),
        "{error}"
    );
    assert!(!sandbox.storage().exists() && !ended.stdout.contains("trains"));
}
