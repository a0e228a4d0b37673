//! Several workers against PyTorch's own DDP, and against one process with the batch of all of them.

#[path = "numerics_common/mod.rs"]
mod common;

use common::{Ranks, far, numbers, parameters_far};
use serde_json::{Value, json};

const TRAIN: &str = env!("CARGO_BIN_EXE_numerics_train");

fn train(workers: usize, config: &Value) -> Ranks {
    common::run(TRAIN, &[], workers, config)
}

/// A small problem: inputs between -1 and 1 and labels that have something to do with them.
fn config(net: &str, samples: usize) -> Value {
    let width = if net.ends_with("Conv") { 16 } else { 4 };
    let mut state = 20_u64;
    let mut random = || {
        // Knuth's MMIX: https://en.wikipedia.org/wiki/Linear_congruential_generator
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    let inputs: Vec<Vec<f64>> = (0..samples).map(|_| (0..width).map(|_| random()).collect()).collect();
    let label = |input: &Vec<f64>| usize::from(input[0] > 0.0) + usize::from(input[1] + input[2] > 0.3);
    json!({
        "net": net,
        "optimizer": {"Sgd": {"lr": 0.1, "momentum": 0.9}},
        "labels": inputs.iter().map(label).collect::<Vec<_>>(),
        "inputs": inputs,
        "batch_size": 4,
        "accumulate": 1,
        "epochs": 4,
        "double": true,
        "shuffle": 17,
        "ignore_weight": false,
        "bucket_bytes": 1_048_576,
        "gradient_as_bucket_view": false,
        "initial": {},
    })
}

fn with(config: &Value, changes: &Value) -> Value {
    let mut config = config.clone();
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    config
}

/// The loss of step `step` over all ranks' samples.
fn global_loss(ranks: &Ranks, step: usize) -> f64 {
    let samples = |rank: &Vec<Value>| rank[step]["samples"].as_f64().unwrap();
    let sum: f64 = ranks.iter().map(|rank| samples(rank) * rank[step]["loss"].as_f64().unwrap()).sum();
    sum / ranks.iter().map(samples).sum::<f64>()
}

/// The greatest distances of losses and of weights between two runs, in their first `steps` steps.
fn distance(found: &Ranks, expected: &Ranks, steps: usize) -> (f64, f64) {
    let mut worst = (0.0_f64, 0.0_f64);
    for step in 0..steps {
        let loss = far(global_loss(found, step), global_loss(expected, step));
        let weights = parameters_far(&found[0][step]["parameters"], &expected[0][step]["parameters"]);
        worst = (worst.0.max(loss), worst.1.max(weights));
    }
    worst
}

/// The same problem on `workers` ranks, and in one process with the batch of all of them.
fn spread_and_alone(workers: usize, config: &Value) -> (Ranks, Ranks) {
    let batch_size = config["batch_size"].as_u64().unwrap();
    let spread = train(workers, config);
    let alone = train(0, &with(config, &json!({"batch_size": batch_size * workers as u64})));
    let steps = alone[0].len();
    assert!(steps > 0);
    for rank in &spread {
        assert_eq!(rank.len(), steps, "a rank has another number of steps");
    }
    for step in 0..steps {
        let samples = |ranks: &Ranks| ranks.iter().map(|rank| rank[step]["samples"].as_u64().unwrap()).sum::<u64>();
        assert_eq!(samples(&spread), samples(&alone));
    }
    (spread, alone)
}

/// In float64 losses and weights of all steps stay within 1e-12. Gives what the ranks reported.
fn assert_equals_one_process(workers: usize, config: &Value) -> Ranks {
    let (spread, alone) = spread_and_alone(workers, config);
    assert_ranks_agree(&spread);
    let (losses, weights) = distance(&spread, &alone, alone[0].len());
    println!("{workers} workers, {} steps: losses {losses:e}, weights {weights:e}", alone[0].len());
    assert!(losses < 1e-12 && weights < 1e-12, "losses are {losses:e} away, weights {weights:e}");
    spread
}

/// After every step all ranks have the same weights, bit for bit.
fn assert_ranks_agree(ranks: &Ranks) {
    for (rank, reports) in ranks.iter().enumerate() {
        assert_eq!(reports.len(), ranks[0].len(), "rank {rank} has another number of steps");
        for (step, (found, expected)) in reports.iter().zip(&ranks[0]).enumerate() {
            assert!(
                bits(&found["parameters"]) == bits(&expected["parameters"]),
                "after step {step} the weights of ranks 0 and {rank} differ"
            );
        }
    }
}

fn bits(parameters: &Value) -> Vec<u64> {
    let parameters = parameters.as_object().unwrap();
    parameters.values().flat_map(numbers).map(f64::to_bits).collect()
}

fn sgd() -> Value {
    json!({"optimizer": {"Sgd": {"lr": 0.1, "momentum": 0.9}}})
}

fn adamw() -> Value {
    json!({"optimizer": {"AdamW": {"lr": 0.01}}})
}

/// From PyTorch's initial weights, with its data and seed, two ranks have the losses of PyTorch's own DDP.
#[test]
fn two_ranks_follow_pytorchs_own_ddp() {
    let file = include_str!("../../runtime/tests/expected/ddp.json");
    common::ddp::assert_follows(&serde_json::from_str(file).unwrap());
}

/// Two workers with batches of 4 are one process with batches of 8, on 37 samples: the last global batch has 5.
#[test]
fn two_workers_equal_one_process() {
    for net in ["Mlp", "Conv"] {
        for optimizer in [sgd(), adamw()] {
            assert_equals_one_process(2, &with(&config(net, 37), &optimizer));
        }
    }
}

/// Three workers likewise: of 37 samples the last global batch has one, so that two ranks have an empty share.
#[test]
fn three_workers_equal_one_process() {
    for optimizer in [sgd(), adamw()] {
        let config = with(&config("Mlp", 37), &optimizer);
        let spread = assert_equals_one_process(3, &config);
        let last: Vec<_> = spread.iter().map(|rank| rank[3]["samples"].as_u64().unwrap()).collect();
        assert_eq!(last, [1, 0, 0]);
    }
}

/// With a batch norm over all ranks' samples, running values included; with one over each rank's own it is not so. Of 37
/// samples on three ranks the last batch has one, and two ranks have a stand-in that must not count.
#[test]
fn a_synchronized_batch_norm_equals_one_process() {
    for workers in [2, 3] {
        // The last batch has two samples at least: one alone has no variance.
        for (net, samples) in [("SyncNorm", 38), ("SyncConv", 37)] {
            for optimizer in [sgd(), adamw()] {
                assert_equals_one_process(workers, &with(&config(net, samples), &optimizer));
            }
        }
    }
    let (spread, alone) = spread_and_alone(2, &config("Norm", 38));
    let (losses, weights) = distance(&spread, &alone, alone[0].len());
    println!("each rank's own: losses {losses:e}, weights {weights:e}");
    assert!(losses > 1e-6 && weights > 1e-6, "losses are {losses:e} away, weights {weights:e}");
}

/// Two ranks with a synchronized batch norm have the losses and values of PyTorch's `BatchNorm` over the global batch.
#[test]
fn a_synchronized_batch_norm_is_pytorchs_over_the_global_batch() {
    let file: Value = serde_json::from_str(include_str!("../../runtime/tests/expected/sync_batch_norm.json")).unwrap();
    for case in file["cases"].as_array().unwrap() {
        let changes = json!({
            "optimizer": sgd()["optimizer"],
            "inputs": case["inputs"],
            "labels": case["labels"],
            "batch_size": file["batch_size"],
            "epochs": file["epochs"],
            "shuffle": null,
            "initial": case["initial"],
        });
        let net = case["net"].as_str().unwrap();
        let ranks = train(file["world"].as_u64().unwrap() as usize, &with(&config(net, 1), &changes));
        let expected = numbers(&case["losses"]);
        assert_eq!((ranks[0].len(), expected.len()), (30, 30));
        let losses = (0..expected.len()).map(|step| far(global_loss(&ranks, step), expected[step]));
        let losses = losses.fold(0.0, f64::max);
        let last = parameters_far(&ranks[1].last().unwrap()["parameters"], &case["last"]);
        println!("{net}: losses {losses:e}, last values {last:e}");
        assert!(losses < 1e-12 && last < 1e-12, "{net}: losses are {losses:e} away, the last values {last:e}");
    }
}

/// Three samples on two ranks, in one batch and sample by sample: then the second rank's last share is empty.
#[test]
fn three_samples_on_two_ranks() {
    for (batch_size, optimizer) in [(4, sgd()), (1, adamw())] {
        let changes = json!({"batch_size": batch_size, "epochs": 5});
        assert_equals_one_process(2, &with(&with(&config("Mlp", 3), &optimizer), &changes));
    }
}

/// With one sample the second rank's share is always empty, and still both take every step.
#[test]
fn one_sample_on_two_ranks() {
    let config = with(&config("Conv", 1), &adamw());
    let ranks = assert_equals_one_process(2, &config);
    let samples: Vec<_> = ranks.iter().map(|rank| rank[0]["samples"].as_u64().unwrap()).collect();
    let weights: Vec<_> = ranks.iter().map(|rank| rank[0]["weight"].as_f64().unwrap()).collect();
    assert_eq!((samples.as_slice(), weights.as_slice()), (&[1, 0][..], &[2.0, 0.0][..]));
}

/// Small buckets, and gradients that are views of them, change nothing.
#[test]
fn buckets_change_nothing() {
    let config = config("Conv", 37);
    assert_equals_one_process(2, &with(&config, &json!({"bucket_bytes": 64, "gradient_as_bucket_view": true})));
}

/// Windows of three batches of 4 on two ranks are one process with batches of 24, on 85 samples: the last window of an epoch
/// has 13, in batches of 8 and 5.
#[test]
fn windows_of_batches_equal_one_large_batch() {
    for optimizer in [sgd(), adamw()] {
        let config = with(&config("Mlp", 85), &optimizer);
        let alone = train(0, &with(&config, &json!({"batch_size": 24})));
        let far = |changes: &Value| {
            let windows = train(2, &with(&config, &with(&json!({"accumulate": 3}), changes)));
            let steps: Vec<_> = windows[0].iter().filter(|report| report["ends_window"] == true).collect();
            assert_eq!(steps.len(), alone[0].len());
            assert_eq!(windows[0].len(), 4 * 11);
            let far = steps.iter().zip(&alone[0]).map(|(window, step)| {
                // Inside a window, weights stay.
                parameters_far(&window["parameters"], &step["parameters"])
            });
            far.fold(0.0, f64::max)
        };
        let weights = far(&json!({}));
        println!("windows: weights {weights:e}");
        assert!(weights < 1e-12, "weights are {weights:e} away");
        let broken = far(&json!({"ignore_weight": true}));
        assert!(broken > 1e-6, "wrong on purpose, and yet {broken:e} away");
    }
}

/// In float32 the first 20 steps stay within 1e-5.
#[test]
fn in_float32_twenty_steps_agree() {
    for optimizer in [sgd(), adamw()] {
        let (spread, alone) =
            spread_and_alone(2, &with(&with(&config("Mlp", 37), &optimizer), &json!({"double": false})));
        assert_ranks_agree(&spread);
        assert_eq!(alone[0].len(), 20);
        let (losses, weights) = distance(&spread, &alone, 20);
        println!("float32: losses {losses:e}, weights {weights:e}");
        assert!(losses < 1e-5 && weights < 1e-5, "losses are {losses:e} away, weights {weights:e}");
    }
}

/// The comparison tells right from wrong: without the weight of the uneven batch the weights are far off, and the losses
/// that follow as well; even batches are not affected.
#[test]
fn without_the_weight_of_an_uneven_batch_the_runs_differ() {
    for optimizer in [sgd(), adamw()] {
        let broken = with(&with(&config("Mlp", 37), &optimizer), &json!({"ignore_weight": true}));
        let (spread, alone) = spread_and_alone(2, &broken);
        let (losses, weights) = distance(&spread, &alone, alone[0].len());
        println!("broken: losses {losses:e}, weights {weights:e}");
        assert!(losses > 1e-6 && weights > 1e-6, "losses are {losses:e} away, weights {weights:e}");
        let (_, before) = distance(&spread, &alone, 4);
        assert!(before < 1e-12, "the first four batches are even, and yet {before:e} away");
    }
    assert_equals_one_process(2, &with(&config("Mlp", 32), &json!({"ignore_weight": true})));
}

/// The run's error names, by their paths in the model, the parameters that had no part in the loss.
#[test]
fn parameters_without_a_gradient_are_named() {
    let (_folder, output) = common::output(TRAIN, &[], 2, &with(&config("Idle", 37), &json!({"epochs": 1})));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("`2.weight`") && text.contains("`2.bias`") && !text.contains("`0."), "{text}");
    assert!(text.contains("DdpOptions::find_unused_parameters"), "{text}");
}

/// The same seed twice gives the same losses and weights, bit for bit.
#[test]
fn the_same_seed_gives_the_same_bits() {
    for double in [true, false] {
        let config = with(&with(&config("Conv", 37), &adamw()), &json!({"double": double}));
        let (first, second) = (train(2, &config), train(2, &config));
        for (left, right) in first.iter().flatten().zip(second.iter().flatten()) {
            assert_eq!(left["loss"].as_f64().unwrap().to_bits(), right["loss"].as_f64().unwrap().to_bits());
            assert_eq!(bits(&left["parameters"]), bits(&right["parameters"]));
        }
        assert_eq!(first[0].len(), 20);
        assert!(global_loss(&first, 19) < global_loss(&first, 0), "nothing was learnt");
    }
}
