//! Runs a `numerics_…` program and reads every rank's reports.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod ddp;

use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// What each rank reported, in the order of its reports.
pub(crate) type Ranks = Vec<Vec<Value>>;

/// Runs `program ARGS WORKERS STORAGE CONFIG` to its end, with a new folder for the storage.
pub(crate) fn output(program: &str, args: &[&str], workers: usize, config: &Value) -> (TempDir, Output) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let output = Command::new(program)
        .args(args)
        .arg(workers.to_string())
        .arg(folder.path())
        .arg(&path)
        // Two ranks on two cores: more threads each would only wait for one another.
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    (folder, output)
}

/// [`output`], read; panics with it where the program fails.
pub(crate) fn run(program: &str, args: &[&str], workers: usize, config: &Value) -> Ranks {
    let (folder, output) = output(program, args, workers, config);
    assert!(
        output.status.success(),
        "{program} with {workers} workers failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let reports = std::fs::read_to_string(folder.path().join("run/reports.jsonl")).unwrap();
    let mut ranks = vec![Vec::new(); workers.max(1)];
    for line in reports.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let reports: &mut Vec<Value> = &mut ranks[line["rank"].as_u64().unwrap() as usize];
        assert_eq!(line["report"], reports.len(), "a report is missing");
        reports.push(line["metrics"].clone());
    }
    ranks
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// The distance of two numbers: absolute, or relative where the expected one is above 1.
pub(crate) fn far(found: f64, expected: f64) -> f64 {
    // NaN is far from everything.
    let far = (found - expected).abs() / expected.abs().max(1.0);
    if far.is_nan() { f64::INFINITY } else { far }
}

/// The greatest distance between two sets of weights.
pub(crate) fn parameters_far(found: &Value, expected: &Value) -> f64 {
    let (found, expected) = (found.as_object().unwrap(), expected.as_object().unwrap());
    assert_eq!(found.len(), expected.len());
    let mut worst = 0.0_f64;
    for (name, values) in found {
        let (left, right) = (numbers(values), numbers(&expected[name]));
        assert_eq!(left.len(), right.len(), "{name}");
        worst = left.into_iter().zip(right).map(|(left, right)| far(left, right)).fold(worst, f64::max);
    }
    worst
}
