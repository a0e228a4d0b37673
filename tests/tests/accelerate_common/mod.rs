//! The work that the loops of `src/bin/accelerate.rs` do, and Python's.

use std::process::Command;

use serde_json::{Value, json};

/// Two ranks have `samples / 8` batches of 4 in an epoch, in windows of 3 and a short one.
pub(crate) fn work(samples: usize) -> Value {
    let mut state = 20_u64;
    let mut random = move || {
        // Knuth's MMIX: https://en.wikipedia.org/wiki/Linear_congruential_generator
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    let inputs: Vec<Vec<f64>> = (0..samples).map(|_| (0..4).map(|_| random()).collect()).collect();
    let labels: Vec<i64> =
        inputs.iter().map(|row| if row[0] > row[1] { 0 } else { 1 + i64::from(row[2] > 0.0) }).collect();
    let mut values = |count: usize| -> Vec<f64> { (0..count).map(|_| random()).collect() };
    json!({
        "inputs": inputs, "labels": labels, "batch_size": 4, "accumulate": 3, "epochs": 3, "lr": 0.5, "momentum": 0.9,
        "max_norm": 0.3, "schedule": 20, "held_out": 82, "split_batches": false,
        "initial": {"0.weight": values(32), "0.bias": values(8), "2.weight": values(24), "2.bias": values(3)},
    })
}

/// Runs a case; gives what it printed.
pub(crate) fn play(case: &str, workers: usize, work: Option<&Value>) -> (Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_accelerate"));
    command.arg(case).arg(workers.to_string()).arg(folder.path()).env("OMP_NUM_THREADS", "1");
    if let Some(work) = work {
        let path = folder.path().join("config.json");
        std::fs::write(&path, work.to_string()).unwrap();
        command.arg(path);
    }
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{case} on {workers} workers failed:\n{stdout}{stderr}");
    (serde_json::from_str(stdout.lines().last().unwrap()).unwrap(), stdout)
}
