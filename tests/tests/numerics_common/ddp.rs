//! Two ranks against the 100 steps of PyTorch's own DDP, as `runtime/tests/expected/ddp.py` wrote them down.

use serde_json::{Value, json};

use super::{Ranks, far, numbers, parameters_far, run};

const TRAIN: &str = env!("CARGO_BIN_EXE_numerics_train");

/// In float64 the loss of every step on every rank, and the values at the end.
const DOUBLE: f64 = 1e-10;

/// In float32 the losses of the first steps; after them rounding alone may go further.
const FLOAT: (usize, f64) = (20, 1e-5);

const STEPS: usize = 100;

/// Trains every case of `file` from the same values, data and seed, and compares.
pub(crate) fn assert_follows(file: &Value) {
    let cases = file["cases"].as_array().unwrap();
    let count = |double| cases.iter().filter(|case| case["double"] == double).count();
    assert!(count(true) > 0 && count(false) > 0);
    for case in cases {
        let ranks = run(TRAIN, &[], file["world"].as_u64().unwrap() as usize, &config(file, case));
        let words = format!("{} {} in {} buckets", case["net"], case["optimizer"], case["buckets"]);
        let expected: Vec<Vec<f64>> = case["losses"].as_array().unwrap().iter().map(numbers).collect();
        assert_eq!(expected.len(), STEPS);
        let last = parameters_far(&ranks[0][STEPS - 1]["parameters"], &case["last"]);
        let (double, all) = (case["double"] == true, losses_far(&ranks, &expected));
        let first = losses_far(&ranks, &expected[..FLOAT.0]);
        println!("{words}, double {double}: losses {all:e}, of {} steps {first:e}, last values {last:e}", FLOAT.0);
        if double {
            assert!(all < DOUBLE && last < DOUBLE, "{words}: losses are {all:e} away, the last values {last:e}");
        } else {
            assert!(first < FLOAT.1, "{words}: the first losses are {first:e} away");
        }
    }
}

/// The greatest distance of a loss, in so many steps as are expected.
fn losses_far(ranks: &Ranks, expected: &[Vec<f64>]) -> f64 {
    let mut worst = 0.0_f64;
    for (rank, reports) in ranks.iter().enumerate() {
        assert_eq!(reports.len(), STEPS, "rank {rank} has another number of steps");
        for (found, expected) in reports.iter().zip(expected) {
            worst = worst.max(far(found["loss"].as_f64().unwrap(), expected[rank]));
        }
    }
    worst
}

fn config(file: &Value, case: &Value) -> Value {
    let net = &file["nets"][case["net"].as_str().unwrap()];
    json!({
        "net": case["net"],
        "optimizer": case["optimizer"],
        "inputs": net["inputs"],
        "labels": file["labels"],
        "batch_size": file["batch_size"],
        "accumulate": 1,
        "epochs": file["epochs"],
        "double": case["double"],
        "shuffle": file["shuffle"],
        "ignore_weight": false,
        "bucket_bytes": case["bucket_bytes"].as_u64().unwrap_or(25 << 20),
        "gradient_as_bucket_view": case["gradient_as_bucket_view"],
        "initial": net["initial"],
    })
}
