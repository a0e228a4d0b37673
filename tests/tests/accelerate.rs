//! Loops written with an `Accelerator`: the numbers of the loop over the context, its checkpoints, and its habits.

#[path = "accelerate_common/mod.rs"]
mod common;

use common::{play, work};
use serde_json::{Value, json};

fn output(case: &str, workers: usize, work: Option<&Value>) -> Value {
    play(case, workers, work).0["output"].take()
}

#[track_caller]
fn says(value: &Value, words: &str) {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no text"));
    assert!(text.contains(words), "no {words:?} in {text}");
}

/// Accumulation with a short last window, an uneven last batch, clipping and a schedule: bit for bit what the context gives.
#[test]
fn an_accelerator_gives_the_numbers_of_the_plain_loop() {
    for (workers, samples) in [(1, 40), (2, 40), (2, 43)] {
        let work = work(samples);
        let [accelerated, plain] = ["train", "plain"].map(|case| output(case, workers, Some(&work)));
        assert_eq!(accelerated["batches"], plain["batches"], "{samples} samples on {workers} workers");
        assert_eq!(accelerated["weights"], plain["weights"]);
        let windows =
            accelerated["batches"].as_array().unwrap().iter().filter(|batch| !batch["norm"].is_null()).count();
        assert_eq!(accelerated["steps"], windows * workers, "one step of the schedule for each rank");
        assert_eq!(accelerated["gathered"], json!((0..82).collect::<Vec<_>>()));
    }
}

/// A batch that is split over the ranks: half as many samples on each of two, and a schedule that steps once.
#[test]
fn split_batches_are_those_of_all_ranks() {
    let mut split = work(40);
    split["split_batches"] = json!(true);
    let (one, two) = (output("train", 1, Some(&split)), output("train", 2, Some(&split)));
    let steps = |output: &Value| output["steps"].as_u64().unwrap();
    assert_eq!((steps(&one), steps(&two)), (12, 12));
    let pairs = one["batches"].as_array().unwrap().iter().zip(two["batches"].as_array().unwrap());
    let losses = pairs.map(|(one, two)| (one["loss"].as_f64().unwrap() - two["loss"].as_f64().unwrap()).abs());
    assert!(losses.fold(0.0, f64::max) < 1e-12);
}

/// Saved inside a window of accumulation, failed, and gone on with: as if nothing had happened.
#[test]
fn a_saved_state_is_gone_on_with() {
    for workers in [1, 2] {
        let work = work(43);
        let whole = output("train", workers, Some(&work));
        let (interrupted, _) = play("interrupted", workers, Some(&work));
        assert_eq!((&interrupted["restarts"], &interrupted["output"]["resumed"]), (&json!(1), &json!(true)));
        assert_eq!(interrupted["output"]["batches"].as_array().unwrap(), &whole["batches"].as_array().unwrap()[7..]);
        assert_eq!(interrupted["output"]["weights"], whole["weights"]);
    }
}

/// Without a loader each third call ends a window, wherever `zero_grad` stands.
#[test]
fn calls_of_accumulate_are_counted_where_there_is_no_loader() {
    let seen = output("windows", 2, None);
    let close = |found: &Value, expected: f64| {
        assert!((found.as_f64().unwrap() - expected).abs() < 1e-5, "{found}, {expected}");
    };
    let mut weight = 0.0;
    for (place, seen) in seen.as_array().unwrap().iter().enumerate() {
        let first = (place % 6 / 3 * 3) as f64;
        let calls = place % 3 + 1;
        // Rank r's loss is w times the call's number and r.
        let own = |rank: f64| (0..calls).map(|call| (first + call as f64 + rank) / 3.0).sum::<f64>();
        let ends = calls == 3;
        let expected = if ends { [f64::midpoint(own(0.0), own(1.0)); 2] } else { [own(0.0), own(1.0)] };
        weight -= if ends { expected[0] } else { 0.0 };
        assert_eq!(seen["syncs"], ends);
        close(&seen["gradients"][0], expected[0]);
        close(&seen["gradients"][1], expected[1]);
        close(&seen["weight"], weight);
    }
}

/// What mixed precision computes in, and that a step with an infinite gradient on one rank is left out on all.
#[test]
fn mixed_precision_is_that_of_accelerate() {
    for workers in [0, 2] {
        let seen = output("half", workers, None);
        for (name, kind) in [("no", "Float"), ("fp16", "Half"), ("bf16", "BFloat16")] {
            let seen = &seen[name];
            assert_eq!(
                (&seen["inside"], &seen["outside"], &seen["cast"]),
                (&json!(kind), &json!("Float"), &json!(kind))
            );
            // Fifteen gradients of a third each, unscaled.
            assert!((seen["norm"].as_f64().unwrap() - 15.0_f64.sqrt() / 3.0).abs() < 0.02, "{name}: {seen}");
            assert_eq!((&seen["taken"], &seen["steps"]), (&json!(true), &json!(workers.max(1))));
            assert_eq!(seen["skipped"], name == "fp16", "{name}: {seen}");
            assert_eq!(seen["refused"].is_string(), name == "fp16", "{name}: {seen}");
        }
        says(&seen["fp16"]["refused"], "a second optimizer");
    }
}

#[test]
fn the_names_do_what_they_say() {
    let (seen, stdout) = play("names", 2, None);
    let seen = &seen["output"];
    says(&seen["zero"], "gradient_accumulation_steps is 0");
    says(&seen["odd"], "a batch of 3 samples cannot be split over 2 ranks");
    assert_eq!(seen["lengths"], json!([2, 2]));
    says(&seen["debug"], "\"loader\", \"model\"");
    says(&seen["held"], "1 other handles");
    assert_eq!(seen["unwrapped"], json!([1, 3]));
    assert_eq!((&seen["triggered"], &seen["first"], &seen["on_main"]), (&json!(true), &json!(0), &json!(2)));
    assert_eq!(seen["parts"], json!([[1, 2], [3]]));
    says(&seen["freed"], "parts: []");
    assert_eq!((&seen["is_last"], &seen["reports"]), (&json!([false, true]), &json!(0)));
    assert_eq!(stdout.matches("from one rank").count(), 1, "{stdout}");
}

/// An epoch that was begun after its first batches is gone on with from its checkpoint, and not skipped twice.
#[test]
fn skipped_batches_and_a_resume_go_together() {
    let seen = output("skip", 2, None);
    says(&seen["twice"], "was restored to where 24 samples of epoch 3 were seen");
    let whole = seen["whole"].as_array().unwrap();
    assert_eq!((whole.len(), seen["rest"].as_array().unwrap()), (5, &whole[3..].to_vec()));
}
