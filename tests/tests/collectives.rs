//! What ranks do together in a plain loop, on none, one, two and three workers.

mod common;

use common::{Running, Sandbox};
use serde_json::{Value, json};

/// What each rank saw.
fn play(case: &str, workers: usize) -> Vec<Value> {
    outcome(case, workers)["ranks"].as_array().unwrap().clone()
}

fn outcome(case: &str, workers: usize) -> Value {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_collectives"));
    command.args([case, &workers.to_string()]).arg(sandbox.path());
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    sandbox.assert_no_process();
    let outcome = ended.json();
    assert_eq!(outcome["ranks"].as_array().unwrap().len(), workers.max(1));
    outcome
}

fn tensor(size: &[usize], values: &[f64]) -> Value {
    json!({ "size": size, "values": values })
}

/// Gathered, padded and reduced, whatever they lie in; with fewer than two workers the shapes are those of one rank.
#[test]
fn tensors_of_all_ranks_come_together() {
    for workers in [0, 1, 2, 3] {
        let ranks = workers.max(1);
        let each = |value: &dyn Fn(f64) -> f64| -> Vec<f64> { (0..ranks).map(|rank| value(rank as f64)).collect() };
        let rows: Vec<f64> = (0..ranks).flat_map(|rank| [rank as f64, 10.0 * rank as f64]).collect();
        let sum: f64 = each(&|rank| rank).iter().sum();
        for (rank, seen) in play("tensors", workers).iter().enumerate() {
            assert_eq!(seen["single"], tensor(&[ranks], &each(&|rank| rank)));
            assert_eq!(seen["rows"], tensor(&[ranks, 2], &rows));
            assert_eq!((&seen["history"], &seen["none"]), (&json!(false), &json!(true)));
            assert_eq!(seen["named"], tensor(&[ranks], &each(&|rank| rank + 1.0)));
            assert_eq!(seen["sum"], tensor(&[1, 2], &[sum, 10.0 * sum]));
            let mean = sum / ranks as f64;
            assert_eq!(seen["mean"], tensor(&[1, 2], &[mean, 10.0 * mean]));
            assert_eq!(seen["own"], tensor(&[1, 2], &[rank as f64, 10.0 * rank as f64]), "an input was changed");
            // Rank r had two rows of r + 1 numbers, each r + 1.
            let row = |rank: usize, filled: f64, first: bool| {
                let filling = vec![filled; ranks - rank - 1];
                let own = vec![rank as f64 + 1.0; rank + 1];
                if first { [filling, own].concat() } else { [own, filling].concat() }
            };
            assert_eq!(seen["after"], tensor(&[2, ranks], &row(rank, -100.0, false).repeat(2)));
            assert_eq!(seen["before"], tensor(&[2, ranks], &row(rank, 0.0, true).repeat(2)));
            let all: Vec<f64> = (0..ranks).flat_map(|rank| row(rank, -100.0, false).repeat(2)).collect();
            assert_eq!(seen["all"], tensor(&[2 * ranks, ranks], &all));
        }
    }
}

/// 82 samples are 82 on any number of ranks, in the order of one process; padding is left out, and one sample is one.
#[test]
fn samples_are_gathered_as_many_as_there_are() {
    let expected = play("metrics", 0).remove(0);
    assert_eq!(expected["exact"], json!((0..82).collect::<Vec<_>>()));
    assert_eq!(expected["shuffled"].as_array().unwrap().len(), 82);
    assert_ne!(expected["shuffled"], expected["exact"]);
    for workers in [1, 2, 3] {
        for seen in play("metrics", workers) {
            for case in ["exact", "shuffled", "padded", "one"] {
                assert_eq!(seen[case], expected[case], "{case} on {workers} workers");
            }
            let kept = 83 / workers * workers;
            assert_eq!(seen["dropped"], json!((0..kept).collect::<Vec<_>>()));
        }
    }
}

/// What does not fit together is the same error on every rank, with the ranks in it, and the group goes on.
#[test]
fn misfits_are_errors_on_every_rank() {
    let ranks = play("misfits", 3);
    for seen in &ranks {
        for (case, text) in seen.as_object().unwrap() {
            // Each begins with the rank's own call.
            let words =
                |text: &Value| text.as_str().map(|text| text.split_once(": ").map_or("", |(_, rest)| rest).to_owned());
            assert_eq!(words(text), words(&ranks[0][case]), "{case}");
        }
        let says = |case: &str, words: &[&str]| {
            let text = seen[case].as_str().unwrap_or_else(|| panic!("{case} is no error: {seen:#}"));
            for words in words {
                assert!(text.contains(words), "{case}: no {words:?} in {text}");
            }
        };
        says(
            "shape",
            &["rank 0: gather of Float [1, 2]", "rank 1: gather of Float [2, 2]", "rank 2: gather of Float [3, 2]"],
        );
        says("kind", &["rank 0: gather of Float [2]; rank 1, 2: gather of Double [2]"]);
        says("count", &["rank 1: gather of Float [2, 2], Float [2, 2]"]);
        says("operation", &["rank 0: gather of Float [2]; rank 1, 2: reduce of Double [2] by Sum"]);
        says("op", &["rank 0: reduce of Float [2] by Sum; rank 1, 2: reduce of Float [2] by Mean"]);
        says("integers", &["the mean of Int64"]);
        says("pad", &["rank 0: pad_across_ranks of Float [1, 2]; rank 1:"]);
        says("no_dim", &["no dimension 2"]);
        says("value", &["Int64 cannot be filled up with 0.5"]);
        says("rows", &["Float [1, 2] for 4 samples", "first dimension counts"]);
        says("rows_of_one", &["rank 0:", "for each sample; rank 1:", "Float [3] for 4 samples"]);
        says("foreign", &["a loader for 1 ranks, and there are 3", "ctx.prepare_data_loader"]);
        says("from", &["from rank 7: there are 3 ranks"]);
        says("nothing", &["rank 1 has no value"]);
        assert_eq!(seen["then"], tensor(&[3], &[0.0, 1.0, 2.0]));
    }
}

#[test]
fn values_and_lists_are_shared_out() {
    let parts = [vec![0, 1], vec![2, 3], vec![4]];
    let padded = [vec![0, 1], vec![2, 3], vec![4, 4]];
    for (rank, seen) in play("objects", 3).iter().enumerate() {
        assert_eq!(seen["vocabulary"], json!({ "words": ["a", "b"], "scale": 0.5 }));
        assert_eq!(seen["lengths"], json!([[], [1], [2, 2]]));
        assert_eq!((&seen["part"], &seen["padded"]), (&json!(parts[rank]), &json!(padded[rank])));
        assert_eq!((&seen["padded_one"], &seen["padded_none"]), (&json!([0]), &json!([])));
    }
    let alone = play("objects", 0).remove(0);
    assert_eq!((&alone["part"], &alone["lengths"]), (&json!([0, 1, 2, 3, 4]), &json!([[]])));
}

/// The first rank has ended its turn when the others begin theirs.
#[test]
fn the_first_rank_of_a_machine_goes_first() {
    assert_eq!(play("turns", 3), [0, 1000, 1000]);
    assert_eq!(play("turns", 0), [0]);
}

/// Nobody waits for a rank whose closure has failed.
#[test]
fn a_failing_turn_reaches_all_ranks() {
    let told = "rank 0 failed in main_rank_first: no space left";
    let expected = [
        json!({ "ran": true, "error": "no space left", "of_a_peer": false }),
        json!({ "ran": false, "error": told, "of_a_peer": true }),
        json!({ "ran": false, "error": told, "of_a_peer": true }),
    ];
    assert_eq!(play("first_fails", 3), expected);
    let told = "rank 1 failed in main_rank_first: no space left";
    let expected = [
        json!({ "ran": true, "error": told, "of_a_peer": true }),
        json!({ "ran": true, "error": "no space left", "of_a_peer": false }),
        json!({ "ran": true, "error": told, "of_a_peer": true }),
    ];
    assert_eq!(play("second_fails", 3), expected);
}

/// One rank's trigger is found by all, once.
#[test]
fn one_ranks_trigger_is_every_ranks() {
    for workers in [0, 2, 3] {
        assert!(play("triggers", workers).iter().all(|seen| *seen == json!([false, true, false, true])));
    }
}

/// Ranks with 1, 3 and 5 inputs end with the weights of the one that went on longest, and then go on together.
#[test]
fn uneven_inputs_are_joined() {
    let gradients = [(1.0 + 2.0 + 3.0) / 3.0, (2.0 + 3.0) / 3.0, (2.0 + 3.0) / 3.0, 3.0 / 3.0, 3.0 / 3.0];
    let expected = gradients.iter().fold(1.0, |weight, gradient| weight - 0.1 * gradient);
    for (rank, seen) in play("join", 3).iter().enumerate() {
        assert!((seen["weight"].as_f64().unwrap() - expected).abs() < 1e-12, "{seen}");
        assert_eq!((&seen["steps"], &seen["ranks"]), (&json!(2 * rank + 1), &json!(3)));
    }
}

/// What has no stand-in in a join is refused by its name.
#[test]
fn collectives_inside_a_join_are_refused() {
    let names = ["all-reduce", "barrier", "the question of `ctx.step`", "check_trigger", "all-reduce", "forward pass"];
    for seen in play("ends_early", 2) {
        let words: Vec<&str> = seen.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        assert_eq!(words.len(), names.len(), "{words:#?}");
        for (words, name) in words.iter().zip(names) {
            assert!(words.starts_with(&format!("{name} inside `Model::join`")), "{words}");
        }
    }
}

/// Each phase of the training takes time, and a validation's are not the training's; rank 0's are the outcome's.
#[test]
fn steps_tell_what_they_took_their_time_for() {
    for workers in [0, 2] {
        let outcome = outcome("times", workers);
        for seen in outcome["ranks"].as_array().unwrap() {
            let trained = &seen["trained"];
            for phase in ["data", "forward", "backward", "communication", "optimizer"] {
                assert!(trained[phase].as_f64().unwrap() > 0.0, "{phase}: {seen:#}");
            }
            assert_eq!(trained["steps"], if workers == 0 { 10 } else { 5 });
            // The barriers of the validation are not counted either.
            assert_eq!(trained, &seen["validated"]);
        }
        let mut last = outcome["step_times"].clone();
        // Gathering what was seen came after.
        last["communication"] = outcome["ranks"][0]["validated"]["communication"].clone();
        assert_eq!(last, outcome["ranks"][0]["validated"]);
    }
}
