//! Trackers of runs with real workers: what they hold, and that a run which fails and goes on holds the same as one that did
//! not.

mod common;
mod event_files;

use std::fs;

use common::{Ended, Running, Sandbox};
use event_files::Event;
use serde_json::{Value, json};

fn run(sandbox: &Sandbox, [fails_at, workers, restarts]: [u64; 3]) -> Ended {
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_trackers"));
    command.args([fails_at, workers, restarts].map(|number| number.to_string()));
    let ended = Running::start(command).end();
    sandbox.assert_no_process();
    ended
}

/// The table's rows without their times, which are in the third column.
fn table(sandbox: &Sandbox) -> Vec<String> {
    let text = fs::read_to_string(sandbox.storage().join("run/metrics.csv")).unwrap();
    let row = |line: &str| {
        let fields: Vec<&str> = line.splitn(4, ',').collect();
        format!("{},{},{}", fields[0], fields[1], fields[3])
    };
    text.lines().map(row).collect()
}

fn lines(sandbox: &Sandbox) -> Vec<Value> {
    let mut lines = common::json_lines(&sandbox.storage().join("run/metrics.jsonl"));
    for line in &mut lines {
        let time = line.as_object_mut().unwrap().remove("unix_time");
        assert!(time.is_some_and(|time| time.as_f64().unwrap() > 1.7e9) || line.get("config").is_some());
    }
    lines
}

/// What a reader of all event files sees: a start, but for the first, drops what has its step or a later one.
fn events(sandbox: &Sandbox) -> Vec<Event> {
    let mut seen: Vec<Event> = Vec::new();
    let mut starts = 0;
    for file in event_files::files(&sandbox.storage().join("run/tensorboard")) {
        let events = event_files::read(&file);
        assert_eq!(events[0].version.as_deref(), Some("brain.Event:2"));
        for event in &events[1..] {
            match event.session {
                Some(status) => {
                    assert_eq!(status, 1);
                    starts += 1;
                    seen.retain(|before| starts == 1 || before.step < event.step);
                }
                None => seen.push(event.clone()),
            }
        }
    }
    seen
}

/// The config, then logs at steps 0, 2, …, 10 and reports at 3, 7, 11: a step is told by how many were counted before it.
fn expected_events() -> Vec<Event> {
    let log = |step: u64| Event {
        step,
        scalars: vec![("train/loss".to_owned(), (1.0 / (step + 1) as f64) as f32), ("train/rank".to_owned(), 0.0)],
        ..Event::default()
    };
    let report = |step: u64, reported: f32| Event {
        step,
        scalars: vec![("reported".to_owned(), reported)],
        texts: Vec::from_iter((step == 7).then(|| ("note/text_summary".to_owned(), "half, and \"more\"".to_owned()))),
        ..Event::default()
    };
    let config = "| name | value |\n|---|---|\n| lr | 0.1 |\n| name | a \\| b |\n| fails_at | 9 |\n";
    let config = Event { texts: vec![("config/text_summary".to_owned(), config.to_owned())], ..Event::default() };
    let mut events = vec![config, log(0), log(2), report(3, 4.5), log(4), log(6), report(7, 8.5)];
    events.extend([log(8), log(10), report(11, 12.5)]);
    events
}

/// Where a rank's report stands among rank 0's logs is chance.
fn sorted<T>(mut entries: Vec<T>, key: impl Fn(&T) -> u64) -> Vec<T> {
    entries.sort_by_key(|entry| key(entry));
    entries
}

#[track_caller]
fn assert_holds_everything(sandbox: &Sandbox) {
    let step_of = |row: &String| row.split(',').next().unwrap().parse().unwrap_or(0);
    let table = table(sandbox);
    assert_eq!(table[0], "step,report,train/loss,train/rank,reported,note");
    let rows = [
        "0,,1,0,,",
        "2,,0.3333333333333333,0,,",
        "3,0,,,4.5,",
        "4,,0.2,0,,",
        "6,,0.14285714285714285,0,,",
        "7,1,,,8.5,\"half, and \"\"more\"\"\"",
        "8,,0.1111111111111111,0,,",
        "10,,0.09090909090909091,0,,",
        "11,2,,,12.5,",
    ];
    assert_eq!(sorted(table[1..].to_vec(), step_of), rows);

    let lines = lines(sandbox);
    assert_eq!(lines[0], json!({"config": {"lr": 0.1, "name": "a | b", "fails_at": 9}}));
    assert_eq!(lines.len(), 10, "{lines:#?}");
    let sorted_lines = sorted(lines[1..].to_vec(), |line| line["step"].as_u64().unwrap());
    let half = json!({"step": 7, "report": 1, "metrics": {"reported": 8.5, "note": "half, and \"more\""}});
    assert_eq!(sorted_lines[5], half);
    assert_eq!(sorted_lines[0], json!({"step": 0, "metrics": {"train/loss": 1.0, "train/rank": 0.0}}));

    assert_eq!(sorted(events(sandbox), |event| event.step), expected_events());
}

#[test]
fn a_run_is_tracked_once_and_by_one() {
    let sandbox = Sandbox::new();
    // It has failed already, so it does not.
    fs::create_dir(sandbox.storage()).unwrap();
    fs::write(sandbox.storage().join("failed"), "").unwrap();
    let ended = run(&sandbox, [9, 2, 0]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_holds_everything(&sandbox);
    assert_eq!(event_files::files(&sandbox.storage().join("run/tensorboard")).len(), 1);
    // One that fails is left out, and the run goes on.
    let warning = "warning: the tracker `fragile` gets nothing from here on: the tracker is a tomato\n";
    assert_eq!(ended.stderr, warning, "{ended:#?}");
    assert!(!ended.stdout.contains("fragile"), "{ended:#?}");
}

/// Killed between a checkpoint and what was tracked after it, then gone on with by another process.
#[test]
fn a_resumed_run_has_no_step_twice() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, [9, 2, 0]);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let past =
        |sandbox: &Sandbox| table(sandbox).iter().filter(|row| row.starts_with("6,") || row.starts_with("8,")).count();
    assert_eq!(past(&sandbox), 2, "they are there, and come again: {:#?}", table(&sandbox));
    let ended = run(&sandbox, [9, 2, 0]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_holds_everything(&sandbox);
    let files = event_files::files(&sandbox.storage().join("run/tensorboard"));
    assert_eq!(files.len(), 2);
    let start = event_files::read(&files[1])[1].clone();
    assert_eq!(start, Event { step: 6, session: Some(1), ..Event::default() });

    // Nothing is left to do, and nothing changes.
    let ended = run(&sandbox, [9, 2, 0]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_holds_everything(&sandbox);
}

/// The same within one `fit`, from which checkpoint it may be.
#[test]
fn a_restarted_run_has_no_step_twice() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, [9, 2, 1]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("the group starts again (restart 1)"), "{ended:#?}");
    assert_holds_everything(&sandbox);
}

/// Without workers the loop is its own driver.
#[test]
fn a_run_in_this_process_is_tracked() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, [9, 0, 0]);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let ended = run(&sandbox, [9, 0, 0]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let steps: Vec<u64> = sorted(events(&sandbox), |event| event.step).iter().map(|event| event.step).collect();
    assert_eq!(steps, [0, 0, 2, 3, 4, 6, 7, 8, 10, 11]);
    assert_eq!(table(&sandbox).len(), 10);
}

/// What cannot start is told before a worker starts.
#[test]
fn a_tracker_that_cannot_start_is_an_error() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.storage()).unwrap();
    fs::write(sandbox.storage().join("failed"), "").unwrap();
    assert_eq!(run(&sandbox, [9, 2, 0]).code, Some(0));
    let path = sandbox.storage().join("run/metrics.csv");
    fs::write(&path, "name,age\nx,1\n").unwrap();
    let ended = run(&sandbox, [9, 2, 0]);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let words = "the tracker `CSV` cannot start: ";
    assert!(ended.stderr.contains(words) && ended.stderr.contains("table of something else"), "{ended:#?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "name,age\nx,1\n");
}
