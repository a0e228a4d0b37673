//! Streams on several ranks: shards of different lengths, interrupted at any batch, gone on with by other numbers of ranks.

mod common;

use common::{Ended, Running, Sandbox, json_lines};
use serde_json::{Value, json};

const LENGTHS: [u64; 7] = [5, 1, 9, 0, 13, 2, 6];
const BATCH_SIZE: u64 = 2;

fn all() -> Vec<(u64, u64)> {
    let lengths = (0..).zip(LENGTHS);
    lengths.flat_map(|(shard, length)| (0..length).map(move |index| (shard, index))).collect()
}

/// Runs it in a folder of its own for each `name`, which the next run of that name goes on in.
#[allow(clippy::needless_pass_by_value)] // written where it is called
fn run(sandbox: &Sandbox, name: &str, workers: usize, change: Value) -> Ended {
    let mut config = json!({ "lengths": LENGTHS, "batch_size": BATCH_SIZE, "threads": 2, "epochs": 2 });
    config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let folder = sandbox.path().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let plan = json!({ "storage": folder.join("runs"), "workers": workers, "config": config });
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_streams"));
    command.current_dir(folder).arg(plan.to_string());
    Running::start(command).end()
}

/// What each rank did, in its order.
fn traces(sandbox: &Sandbox, name: &str, ranks: usize) -> Vec<Vec<Value>> {
    let path = |rank: usize| sandbox.path().join(name).join(format!("trace-{rank}.jsonl"));
    (0..ranks).map(|rank| json_lines(&path(rank))).collect()
}

fn samples(line: &Value) -> Vec<(u64, u64)> {
    serde_json::from_value(line["samples"].clone()).unwrap()
}

fn of_epoch(lines: &[Vec<Value>], epoch: u64) -> Vec<(u64, u64)> {
    let mut seen: Vec<_> = lines.iter().flatten().filter(|line| line["epoch"] == epoch).flat_map(samples).collect();
    seen.sort_unstable();
    seen
}

#[track_caller]
fn output(ended: &Ended) -> Vec<f64> {
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let line: Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    serde_json::from_value(line["output"].clone()).unwrap()
}

/// Ranks with different numbers of samples take the same steps, and their weighted gradients are those of one process with
/// the same batches.
#[test]
fn uneven_ranks_take_the_steps_of_one_process() {
    let sandbox = Sandbox::new();
    for workers in [1, 2, 3] {
        let name = workers.to_string();
        let found = output(&run(&sandbox, &name, workers, json!({})));
        let traces = traces(&sandbox, &name, workers);
        assert!(traces.iter().all(|trace| trace.len() == traces[0].len()));
        for epoch in [0, 1] {
            assert_eq!(of_epoch(&traces, epoch), all(), "{workers} ranks");
        }
        // A weight and a bias that are added to one another, from 0, by SGD on the mean of squares.
        let mut sum = 0.0;
        for step in 0..traces[0].len() {
            let batch: Vec<_> = traces.iter().flat_map(|trace| samples(&trace[step])).collect();
            let weights: f64 = traces.iter().map(|trace| trace[step]["weight"].as_f64().unwrap()).sum();
            assert!((weights - workers as f64).abs() < 1e-12, "{weights}");
            let error = |&(shard, index): &(u64, u64)| sum - (shard as f64 + index as f64 / 8.0);
            let gradient = batch.iter().map(|sample| 2.0 * error(sample)).sum::<f64>() / batch.len() as f64;
            sum -= 2.0 * 1e-3 * gradient;
        }
        let total: f64 = found.iter().sum();
        assert!((total - sum).abs() < 1e-5 && sum > 0.01, "{workers} ranks: {total} is not {sum}");
    }
}

/// A rank dies inside the epoch; the run of the same name goes on as if nothing had been.
#[test]
fn a_stream_goes_on_batch_for_batch() {
    let sandbox = Sandbox::new();
    let whole = output(&run(&sandbox, "whole", 2, json!({})));
    let expected = traces(&sandbox, "whole", 2);
    assert!(expected[0].len() > 20, "{expected:?}");
    for dies_after in [1, 4, 9] {
        let name = format!("killed-{dies_after}");
        let change = json!({ "dies_after": dies_after });
        assert_eq!(run(&sandbox, &name, 2, change.clone()).code, Some(1));
        assert_eq!(traces(&sandbox, &name, 2)[0].len(), dies_after);
        assert_eq!(output(&run(&sandbox, &name, 2, change)), whole);
        assert_eq!(traces(&sandbox, &name, 2), expected);
    }
}

/// More or fewer ranks go on with what is left: in the broken epoch, too, every sample comes once.
#[test]
fn other_numbers_of_ranks_see_each_sample_once() {
    let sandbox = Sandbox::new();
    for (before, after) in [(2, 3), (3, 1), (1, 2)] {
        let name = format!("{before}-{after}");
        let change = json!({ "dies_after": 4 });
        assert_eq!(run(&sandbox, &name, before, change.clone()).code, Some(1));
        output(&run(&sandbox, &name, after, change));
        let traces = traces(&sandbox, &name, before.max(after));
        for epoch in [0, 1] {
            assert_eq!(of_epoch(&traces, epoch), all(), "{before} ranks, then {after}");
        }
    }
}

/// A sample that cannot be read ends the run, with its shard and number, and its rank; more ranks than shards never begin.
#[test]
fn errors_say_where() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, "broken", 2, json!({ "fails_at": [4, 7] }));
    assert_eq!(ended.code, Some(1));
    for words in ["rank ", "the dataset failed on sample 7 of shard 4", "a scratch on the disk"] {
        assert!(ended.stderr.contains(words), "{ended:#?}");
    }
    let ended = run(&sandbox, "few", 3, json!({ "lengths": [5, 5] }));
    assert!(ended.stderr.contains("2 shards cannot be dealt out over 3 ranks"), "{ended:#?}");
}
