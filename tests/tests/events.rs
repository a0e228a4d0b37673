//! The events of a worker's loop, in their order on both ranks, where all goes well and where a callback fails or stops.

mod common;

use common::{Ended, Running, Sandbox};

/// Runs the program `events`; gives its end and what was noted on each rank.
fn run(sandbox: &Sandbox, act: &str) -> (Ended, [Vec<String>; 2]) {
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_events"));
    command.env("TRAINLOOP_TEST_ACT", act);
    let ended = Running::start(command).end();
    sandbox.assert_no_process();
    let noted = |rank| {
        let path = sandbox.storage().join(format!("run/events-{rank}.txt"));
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    };
    (ended, [0, 1].map(noted))
}

/// What is logged after an epoch, and the report of that number, which is logged, too.
fn logs(epoch: u64, steps: u64, report: u64) -> [String; 3] {
    [format!("log epoch {epoch} at step {steps}"), "report".to_owned(), format!("log report {report} at step {steps}")]
}

/// The lines of an epoch of four batches in windows of two, which begins after `steps`.
fn epoch(epoch: u64, steps: u64, report: u64) -> Vec<String> {
    let mut lines = vec![format!("epoch_start {epoch} of 4 batches")];
    for step in steps..steps + 4 {
        lines.extend([
            format!("step_start {step} in epoch {epoch}"),
            "before_backward".into(),
            "after_backward".into(),
        ]);
        lines.extend((step % 2 == 1).then(|| "before_optimizer_step".into()));
        lines.push(format!("step_end {}", step + 1));
    }
    lines.push(format!("epoch_end {epoch}"));
    lines.extend(["validation_start", "validation_end"].map(str::to_owned));
    lines.extend(logs(epoch, steps + 4, report));
    lines
}

#[test]
fn every_event_in_its_order_on_both_ranks() {
    let sandbox = Sandbox::new();
    let (ended, noted) = run(&sandbox, "");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stdout.contains("steps: 8"), "{ended:#?}");
    let mut golden = vec!["train_start".to_owned()];
    golden.extend(epoch(0, 0, 0));
    golden.extend(epoch(1, 4, 1));
    golden.push("train_end".to_owned());
    for lines in noted {
        assert_eq!(lines, golden);
    }
}

/// What one rank's callback wishes, all agree on at one step, and the loop's value is the run's.
#[test]
fn a_stop_wish_of_one_rank_is_agreed_by_all_at_one_step() {
    let sandbox = Sandbox::new();
    let (ended, noted) = run(&sandbox, "stop@step_start 1 in epoch 0");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let [first, second] = noted;
    assert_eq!(first, second);
    assert_eq!(first[first.len() - 2..], ["stop", "train_end"]);
    let steps = first.iter().filter(|line| line.starts_with("step_end")).count();
    assert!(ended.stdout.contains(&format!("steps: {steps}")), "{ended:#?}");
    assert!((2..8).contains(&steps), "{first:#?}");
}

#[test]
fn a_callback_that_fails_ends_the_run_by_name() {
    for line in
        ["train_start", "step_start 2 in epoch 0", "before_backward", "epoch_end 0", "validation_end", "train_end"]
    {
        let sandbox = Sandbox::new();
        let (ended, noted) = run(&sandbox, &format!("fail@{line}"));
        assert_eq!(ended.code, Some(1), "{line}: {ended:#?}");
        assert_eq!(noted[1].last().map(String::as_str), Some(line), "nothing comes after it");
        let function = match line.split(' ').next().unwrap() {
            "before_backward" => "before".to_owned(),
            event => format!("at_{event}"),
        };
        assert!(
            ended.stderr.contains("rank 1 failed") && ended.stderr.contains(&format!("callback `{function}`")),
            "{ended:#?}"
        );
        assert!(ended.stderr.contains("banana"), "{ended:#?}");
    }
}

/// A run that goes on inside an epoch has that epoch's rest.
#[test]
fn a_resumed_run_has_the_rest_of_its_events() {
    let sandbox = Sandbox::new();
    let (ended, _) = run(&sandbox, "fail@epoch_start 1 of 4 batches");
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let (ended, [first, second]) = run(&sandbox, "");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let mut golden = vec!["train_start".to_owned()];
    // Epoch 0 is consumed, and the loop begins with it.
    golden
        .extend(["epoch_start 0 of 4 batches", "epoch_end 0", "validation_start", "validation_end"].map(str::to_owned));
    golden.extend(logs(0, 4, 1));
    golden.extend(epoch(1, 4, 2));
    golden.push("train_end".to_owned());
    for lines in [first, second] {
        let again = lines.iter().rposition(|line| line == "train_start").unwrap();
        assert_eq!(lines[again..], golden);
    }
}
