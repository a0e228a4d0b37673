//! Checkpoints that are written while the loop goes on: what is in them, what the next one does, and where errors appear.

mod common;
mod resume_common;

use std::path::PathBuf;

use common::Sandbox;
use resume_common::{Plan, fault};
use trainloop_tests::fault::{Act, Moment};

/// The first checkpoint of rank 0 is being written until the loop comes to the second, two steps of training later.
fn held(sandbox: &Sandbox, plan: Plan) -> Plan {
    let gate = sandbox.path().join(format!("{}-gate", plan.name)).display().to_string();
    // A loop in the driver's process has no number.
    let rank = if plan.workers == 0 { "" } else { " rank=0" };
    let faults = format!("stage/write=hold@1{rank},worker/makes-room=release@2{rank}");
    Plan { environment: vec![("TRAINLOOP_FAULT", faults), ("TRAINLOOP_FAULT_GATE", gate)], ..plan }
}

fn checkpoints(sandbox: &Sandbox, plan: &Plan) -> Vec<u64> {
    let journal = std::fs::read_to_string(plan.run(sandbox).join("journal.jsonl")).unwrap();
    let events = journal.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    events.filter(|event| event["event"] == "commit").map(|event| event["index"].as_u64().unwrap()).collect()
}

/// What is saved is the state at the call, though the loop trains on before a byte of it is written: a run that goes on from
/// there ends as one that saves while it waits.
#[test]
fn a_checkpoint_is_the_state_at_its_call() {
    for workers in [0, 2] {
        let sandbox = Sandbox::new();
        let plan = Plan { every: Some(2), max_failures: 1, ..Plan::new("waiting", workers) };
        let whole = plan.finish(&sandbox, &[]);
        let asynchronous = Plan { asynchronous: Some("Wait"), ..plan.named("asynchronous") };
        asynchronous.finish(&sandbox, &[]).assert_is(&whole, &[1]);
        // Step 4's makes room for itself: that of step 2 is committed then, and is the last before the kill.
        let held = held(&sandbox, asynchronous.named("held"));
        let killed = |act| [fault(0, Moment::Save(4), act)];
        let killed = if workers == 0 {
            assert_eq!(held.end(&sandbox, &killed(Act::KillDriver)).code, None);
            Plan { environment: Vec::new(), ..held }.finish(&sandbox, &[])
        } else {
            held.finish(&sandbox, &killed(Act::KillWorker))
        };
        killed.assert_is(&whole, &[1, 3]);
    }
}

/// The next checkpoint waits for the one under way, or takes its place; reports stay either way.
#[test]
fn the_next_checkpoint_waits_or_replaces() {
    let sandbox = Sandbox::new();
    let plan = Plan { every: Some(2), ..Plan::new("waiting", 2) };
    let whole = plan.finish(&sandbox, &[]);
    let all = checkpoints(&sandbox, &plan);
    for (when_busy, missing) in [("Wait", None), ("Replace", Some(0))] {
        let plan = held(&sandbox, Plan { asynchronous: Some(when_busy), ..plan.named(when_busy) });
        let ended = plan.finish(&sandbox, &[]);
        ended.assert_is(&whole, &[1]);
        assert_eq!(ended.stderr, "");
        assert!(ended.stood_still > 0.0 && whole.stood_still > 0.0);
        let committed = checkpoints(&sandbox, &plan);
        if when_busy == "Wait" {
            assert_eq!(committed, all);
        } else {
            // Others may have been replaced, too; this one must have been, and the last never is.
            assert_eq!(committed.contains(&0), missing.is_none(), "{committed:?}");
            assert_eq!(committed.last(), all.last());
        }
    }
}

/// An asynchronous checkpoint that cannot be written is an error of the loop soon after, or at its end; the one before is
/// whole.
#[test]
fn an_error_reaches_the_loop() {
    // Rank 1 has two files in each checkpoint: the second checkpoint, and the last.
    let plan = Plan { every: Some(6), asynchronous: Some("Wait"), ..Plan::new("full", 2) };
    let sandbox = Sandbox::new();
    let whole = plan.named("whole").finish(&sandbox, &[]);
    let last = checkpoints(&sandbox, &plan.named("whole")).len();
    for checkpoint in [1, last - 1] {
        let name = format!("full-{checkpoint}");
        let faults = format!("stage/write=full@{} rank=1", 2 * checkpoint + 1);
        let plan = Plan { environment: vec![("TRAINLOOP_FAULT", faults)], ..plan.named(&name) };
        let ended = plan.end(&sandbox, &[]);
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        for words in [&format!("checkpoint {checkpoint} was not committed"), "rank 1", "the disk is full", "make room"]
        {
            assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        }
        let folder: PathBuf = plan.run(&sandbox).join(format!("checkpoints/checkpoint_{:06}", checkpoint - 1));
        assert!(folder.join("manifest.json").exists());
        // With room again it goes on, and ends as if nothing had been.
        Plan { environment: Vec::new(), ..plan }.finish(&sandbox, &[]).assert_ends_as(&whole);
    }
}
