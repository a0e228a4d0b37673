//! Frozen parameters: no gradient, nothing waited for, the same state after a kill.

mod common;

use common::{Ended, Running, Sandbox, json_lines};
use serde_json::{Value, json};
use trainloop_tests::fault::{Act, FAULTS, Fault, Moment};

/// 20 samples, 4 at a time over all ranks, for four epochs.
const STEPS: usize = 20;
const EPOCH: usize = 5;

fn run(sandbox: &Sandbox, name: &str, workers: usize, frozen: &str, faults: &[Fault]) -> Ended {
    let config = json!({ "batch_size": 4 / workers.max(1), "epochs": 4, "unfreezes": 2, "frozen": frozen });
    let plan = json!({
        "name": name,
        "storage": sandbox.storage(),
        "workers": workers,
        "max_failures": faults.len(),
        "config": config,
    });
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_freezing"));
    command.arg(plan.to_string()).env(FAULTS, serde_json::to_string(faults).unwrap()).env("OMP_NUM_THREADS", "1");
    let ended = Running::start(command).end();
    sandbox.assert_no_process();
    ended
}

/// Each rank's last report of each step: those that a restart made again count.
fn train(sandbox: &Sandbox, name: &str, workers: usize, faults: &[Fault]) -> Vec<Vec<Value>> {
    let ended = run(sandbox, name, workers, "encoder.*", faults);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.json(), json!({ "restarts": faults.len(), "steps": STEPS }));
    let mut ranks = vec![vec![Value::Null; STEPS]; workers.max(1)];
    for line in json_lines(&sandbox.storage().join(name).join("reports.jsonl")) {
        let (rank, step) = (line["rank"].as_u64().unwrap() as usize, line["report"].as_u64().unwrap() as usize);
        ranks[rank][step] = line["metrics"].clone();
    }
    ranks
}

#[test]
fn two_ranks_train_what_is_not_frozen_as_one_process_does() {
    let sandbox = Sandbox::new();
    let (alone, spread) = (train(&sandbox, "alone", 0, &[]), train(&sandbox, "spread", 2, &[]));
    for (step, expected) in alone[0].iter().enumerate() {
        let is_unfrozen = step >= 2 * EPOCH;
        let frozen = if is_unfrozen { json!(["encoder.bias"]) } else { json!(["encoder.bias", "encoder.weight"]) };
        let mut trained = vec!["head.bias", "head.weight", "norm.bias", "norm.weight"];
        if is_unfrozen {
            trained.insert(0, "encoder.weight");
        }
        for rank in [&alone[0], &spread[0], &spread[1]] {
            let mut found = rank[step]["frozen"].as_array().unwrap().clone();
            found.sort_by_key(Value::to_string);
            assert_eq!(
                (Value::from(found), &rank[step]["gradients"]),
                (frozen.clone(), &json!(trained)),
                "step {step}"
            );
            for (name, values) in rank[step]["values"].as_object().unwrap() {
                let before = &rank[0]["values"][name];
                let stays = name.starts_with("norm.running") || frozen.as_array().unwrap().contains(&json!(name));
                assert!(step == 0 || (values == before) == stays, "step {step}: {name}");
                let expected = expected["values"][name].as_array().unwrap();
                for (found, expected) in values.as_array().unwrap().iter().zip(expected) {
                    let far = (found.as_f64().unwrap() - expected.as_f64().unwrap()).abs();
                    assert!(far < 1e-12, "step {step}: {name} is {far:e} away");
                }
            }
        }
    }
}

/// Killed before and after the encoder's weight is trained again: the state knows what is frozen.
#[test]
fn a_killed_run_ends_with_the_same_bits() {
    let sandbox = Sandbox::new();
    let whole = train(&sandbox, "whole", 2, &[]);
    let faults = [7, 15].map(|step| Fault { rank: 1, at: Moment::Step(step), act: Act::KillWorker });
    assert_eq!(train(&sandbox, "killed", 2, &faults), whole);
}

#[test]
fn a_pattern_that_matches_nothing_is_told_with_the_nearest_names() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, "misspelt", 2, "encodr.*", &[]);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    for words in ["`encodr.*` matches no name of the model's parameters", "`encoder.bias`, `encoder.weight`"] {
        assert!(ended.stderr.contains(words), "no {words:?} in {}", ended.stderr);
    }
}

/// With everything frozen there is nothing to average, and the pass itself goes on.
#[test]
fn a_model_may_be_frozen_whole() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, "frozen", 2, "*", &[]);
    // The loss has no graph then, which is libtorch's error and not a rank that waits for another.
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("does not require grad"), "{}", ended.stderr);
}
