//! Each rank's share of the batches, and an evaluation over ranks, with worker processes.

#[path = "numerics_common/mod.rs"]
mod common;

use serde_json::{Value, json};

const DATA: &str = env!("CARGO_BIN_EXE_numerics_data");

fn config(length: usize, batch_size: usize) -> Value {
    json!({
        "length": length, "batch_size": batch_size, "shuffle": null, "drop_last": false, "tail": "exact", "threads": 1,
    })
}

fn with(mut config: Value, name: &str, value: impl Into<Value>) -> Value {
    config[name] = value.into();
    config
}

/// A rank's batches: the samples that count, and the weight.
fn shares(workers: usize, config: &Value) -> Vec<Vec<(Vec<u64>, f64)>> {
    let ranks = common::run(DATA, &["shares"], workers, config);
    let share = |(index, report): (usize, &Value)| {
        assert_eq!(report["batch"], index);
        let samples = report["samples"].as_u64().unwrap() as usize;
        let mut indices: Vec<u64> = serde_json::from_value(report["indices"].clone()).unwrap();
        assert!(!indices.is_empty(), "a stand-in belongs here");
        assert!(samples == 0 || samples == indices.len());
        indices.truncate(samples);
        (indices, report["weight"].as_f64().unwrap())
    };
    for rank in &ranks {
        assert_eq!(rank.len(), ranks[0].len(), "the ranks take different numbers of steps");
        assert!(rank.iter().all(|report| report["batches"] == rank.len()));
    }
    ranks.iter().map(|rank| rank.iter().enumerate().map(share).collect()).collect()
}

/// 11 samples in batches of 4 on two ranks: the last global batch of 3 is divided into 2 and 1.
#[test]
fn the_last_global_batch_is_divided() {
    for threads in [0, 3] {
        let ranks = shares(2, &with(config(11, 4), "threads", threads));
        assert_eq!(ranks[0], [(vec![0, 2, 4, 6], 1.0), (vec![8, 10], 4.0 / 3.0)]);
        assert_eq!(ranks[1], [(vec![1, 3, 5, 7], 1.0), (vec![9], 2.0 / 3.0)]);
    }
}

/// 9 samples: the second rank's last share is empty, weighs nothing, and is a step all the same.
#[test]
fn an_empty_share_is_a_step_that_weighs_nothing() {
    let ranks = shares(2, &config(9, 4));
    assert_eq!(ranks[0][1], (vec![8], 2.0));
    assert_eq!(ranks[1][1], (vec![], 0.0));
}

/// Every sample is seen once, the weights' mean is 1, whatever the numbers; shuffled, on two and three ranks.
#[test]
fn every_sample_is_seen_once() {
    for (workers, length, batch_size) in [(2, 103, 8), (3, 103, 8), (3, 4, 8)] {
        let ranks = shares(workers, &with(config(length, batch_size), "shuffle", 17));
        let mut seen: Vec<u64> = ranks.iter().flatten().flat_map(|(indices, _)| indices.clone()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..length as u64).collect::<Vec<_>>());
        for batch in 0..ranks[0].len() {
            let all: usize = ranks.iter().map(|rank| rank[batch].0.len()).sum();
            for rank in &ranks {
                let expected = (rank[batch].0.len() * workers) as f64 / all as f64;
                assert!((rank[batch].1 - expected).abs() < 1e-15);
            }
        }
    }
}

/// `drop_last` leaves out the last global batch on all ranks; padding and dropping samples make all shares even.
#[test]
fn other_ends_are_even() {
    let ranks = shares(2, &with(config(11, 4), "drop_last", true));
    assert_eq!(ranks, [vec![(vec![0, 2, 4, 6], 1.0)], vec![(vec![1, 3, 5, 7], 1.0)]]);
    let ranks = shares(2, &with(config(11, 4), "tail", "pad"));
    assert_eq!((&ranks[0][1], &ranks[1][1]), (&(vec![8, 10], 1.0), &(vec![9, 0], 1.0)));
    let ranks = shares(2, &with(config(11, 4), "tail", "drop"));
    assert_eq!((&ranks[0][1], &ranks[1][1]), (&(vec![8], 1.0), &(vec![9], 1.0)));
}

/// 82 test samples gathered over two ranks are 82, and the accuracy is the single process's.
#[test]
fn an_evaluation_counts_every_sample_once() {
    let alone = common::run(DATA, &["evaluate"], 0, &config(82, 64));
    assert_eq!(alone[0][0]["samples"], 82);
    let right = alone[0][0]["right"].as_u64().unwrap();
    assert!(0 < right && right < 82);
    for (workers, batch_size) in [(2, 32), (3, 9)] {
        let ranks = common::run(DATA, &["evaluate"], workers, &config(82, batch_size));
        for rank in &ranks {
            assert_eq!((&rank[0]["samples"], &rank[0]["right"]), (&json!(82), &json!(right)));
            assert!(rank[0]["own_samples"].as_u64().unwrap() < 82);
        }
    }
}
