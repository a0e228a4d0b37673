//! Runs a `numerics_…` program and reads every rank's reports.

#![allow(dead_code, reason = "each test file uses its part")]

use std::process::Command;

use serde_json::Value;

/// What each rank reported, in the order of its reports.
pub(crate) type Ranks = Vec<Vec<Value>>;

/// Runs `program ARGS WORKERS STORAGE CONFIG` to its end; panics with its output where it fails.
pub(crate) fn run(program: &str, args: &[&str], workers: usize, config: &Value) -> Ranks {
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
