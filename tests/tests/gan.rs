//! Two models and two optimizers in one loop: the numbers of PyTorch's, on two ranks, and bit for bit after a kill.

mod common;

use common::{Running, Sandbox, json_lines};
use serde_json::{Value, json};
use trainloop_tests::fault::{Act, FAULTS, Fault, Moment};

const STEPS: usize = 24;

fn file() -> Value {
    serde_json::from_str(include_str!("../../runtime/tests/expected/gan.json")).unwrap()
}

/// Each rank's last report of each step: those that a restart made again count.
fn train(sandbox: &Sandbox, name: &str, workers: usize, faults: &[Fault]) -> (Value, Vec<Vec<Value>>) {
    let file = file();
    let mut config = serde_json::Map::new();
    for key in ["real", "noise", "generator", "discriminator", "batch_size", "epochs"] {
        config.insert(key.to_owned(), file[key].clone());
    }
    if workers == 0 {
        config.insert("batch_size".to_owned(), json!(file["batch_size"].as_u64().unwrap() * 2));
    }
    let plan = json!({
        "name": name,
        "storage": sandbox.storage(),
        "workers": workers,
        "max_failures": faults.len(),
        "every": 5,
        "config": config,
    });
    let path = sandbox.path().join(format!("{name}.json"));
    std::fs::write(&path, plan.to_string()).unwrap();
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_gan"));
    command.arg(&path).env(FAULTS, serde_json::to_string(faults).unwrap()).env("OMP_NUM_THREADS", "1");
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    sandbox.assert_no_process();
    let mut ranks = vec![vec![Value::Null; STEPS]; workers.max(1)];
    for line in json_lines(&sandbox.storage().join(name).join("reports.jsonl")) {
        let (rank, step) = (line["rank"].as_u64().unwrap() as usize, line["report"].as_u64().unwrap() as usize);
        ranks[rank][step] = line["metrics"].clone();
    }
    (ended.json(), ranks)
}

/// The mean of a loss over all ranks' samples.
fn mean(ranks: &[Vec<Value>], step: usize, loss: &str) -> f64 {
    let weighted = |rank: &Vec<Value>| rank[step]["samples"].as_f64().unwrap() * rank[step][loss].as_f64().unwrap();
    let samples: f64 = ranks.iter().map(|rank| rank[step]["samples"].as_f64().unwrap()).sum();
    ranks.iter().map(weighted).sum::<f64>() / samples
}

fn far(found: &Value, expected: &Value) -> f64 {
    let (found, expected) = (found.as_object().unwrap(), expected.as_object().unwrap());
    assert_eq!(found.len(), expected.len());
    let mut worst = 0.0_f64;
    for (name, values) in found {
        let (values, expected) = (values.as_array().unwrap(), expected[name].as_array().unwrap());
        assert_eq!(values.len(), expected.len(), "{name}");
        for (found, expected) in values.iter().zip(expected) {
            worst = worst.max((found.as_f64().unwrap() - expected.as_f64().unwrap()).abs());
        }
    }
    worst
}

/// Losses of every step and values at the end, on two ranks and in one process.
#[test]
fn two_ranks_and_one_process_follow_pytorch() {
    let sandbox = Sandbox::new();
    let file = file();
    for workers in [0, 2] {
        let (_, ranks) = train(&sandbox, &format!("of-{workers}"), workers, &[]);
        for (step, expected) in file["losses"].as_array().unwrap().iter().enumerate() {
            for (place, loss) in ["discriminator_loss", "generator_loss"].into_iter().enumerate() {
                let (found, expected) = (mean(&ranks, step, loss), expected[place].as_f64().unwrap());
                assert!((found - expected).abs() < 1e-12, "{workers} workers, step {step}: {loss} {found}, {expected}");
            }
        }
        for rank in &ranks {
            let last = rank.last().unwrap();
            for net in ["generator", "discriminator"] {
                let far = far(&last[net], &file[format!("last_{net}")]);
                println!("{workers} workers, {net}: {far:e}");
                assert!(far < 1e-12, "{workers} workers: the {net} is {far:e} away");
            }
            // The generator's pass went through the discriminator and left nothing there.
            assert!(rank.iter().all(|step| step["gradients"] == 0));
        }
    }
}

/// Killed in the middle of an epoch, between two checkpoints, the run goes on to the same bits.
#[test]
fn a_killed_run_ends_with_the_same_bits() {
    let sandbox = Sandbox::new();
    let (_, whole) = train(&sandbox, "whole", 2, &[]);
    let faults = [Fault { rank: 1, at: Moment::Step(14), act: Act::KillWorker }];
    let (outcome, killed) = train(&sandbox, "killed", 2, &faults);
    assert_eq!((&outcome["restarts"], &outcome["steps"]), (&json!(1), &json!(STEPS)));
    assert_eq!(killed, whole);
}
