//! Killed at any moment, a run goes on to weights that are bit-equal to those of a run that was never killed.

mod common;
mod resume_common;

use common::Sandbox;
use resume_common::{EPOCHS, Plan, SAMPLES, fault};
use trainloop_tests::fault::{Act, Moment};

/// The moments of a kill: in an epoch, right after a report, and while the state is being saved; each with the step at
/// which the next start begins.
fn moments(plan: &Plan) -> [(Moment, u64); 3] {
    let epoch = plan.steps_of_epoch();
    let every = plan.every.unwrap();
    // In the second epoch, and not its last step.
    let saved = (epoch + 1..2 * epoch).find(|step| step.is_multiple_of(every)).unwrap();
    [
        (Moment::Step(every + 1), every + 1),
        (Moment::Report(1), epoch + 1),
        (Moment::Save(saved), plan.saved_before(saved) + 1),
    ]
}

/// The driver is killed, alone or with a worker, at each moment; then the same name is run again.
#[track_caller]
fn driver_is_killed(workers: usize, adam: bool) {
    let sandbox = Sandbox::new();
    let plan = Plan { every: Some(3), adam, ..Plan::new("killed", workers) };
    let whole = plan.named("whole").finish(&sandbox, &[]);
    let mut begins = vec![1];
    for (number, (at, begin)) in moments(&plan).into_iter().enumerate() {
        let act = if number % 2 == 0 { Act::KillDriver } else { Act::KillBoth };
        let ended = plan.end(&sandbox, &[fault(number % plan.ranks(), at, act)]);
        assert_eq!(ended.code, None, "{at:?}: {ended:#?}");
        begins.push(begin);
    }
    let resumed = plan.finish(&sandbox, &[]);
    resumed.assert_is(&whole, &begins);
    assert_eq!(resumed.outcome["restarts"], 0);
    assert_eq!(resumed.stderr, "", "nothing is amiss after a kill");
}

/// A worker is killed at each moment, in one run that restarts.
#[track_caller]
fn worker_is_killed(workers: usize, adam: bool) {
    let sandbox = Sandbox::new();
    let plan = Plan { every: Some(3), adam, max_failures: 3, ..Plan::new("killed", workers) };
    let whole = plan.named("whole").finish(&sandbox, &[]);
    let moments = moments(&plan);
    let rank = |number: usize| (workers - 1 + number) % workers;
    let faults: Vec<_> =
        moments.iter().enumerate().map(|(number, (at, _))| fault(rank(number), *at, Act::KillWorker)).collect();
    let restarted = plan.finish(&sandbox, &faults);
    let begins: Vec<u64> = [1].into_iter().chain(moments.map(|(_, begin)| begin)).collect();
    restarted.assert_is(&whole, &begins);
    assert_eq!(restarted.outcome["restarts"], 3);
    assert!(restarted.stderr.contains("(restart 3)"), "{}", restarted.stderr);
}

#[test]
fn a_driver_without_workers_is_killed() {
    driver_is_killed(0, true);
}

#[test]
fn a_driver_of_two_workers_is_killed() {
    driver_is_killed(2, false);
}

#[test]
fn the_only_worker_is_killed() {
    worker_is_killed(1, false);
}

#[test]
fn a_worker_of_three_is_killed() {
    worker_is_killed(3, true);
}

/// Killed inside windows of accumulation, whose gradients are part of the state: windows of three batches, checkpoints after
/// every second.
#[track_caller]
fn killed_inside_a_window(workers: usize) {
    let sandbox = Sandbox::new();
    let plan = Plan { every: Some(2), accumulate: 3, max_failures: 2, ..Plan::new("killed", workers) };
    let whole = plan.named("whole").finish(&sandbox, &[]);
    let unwindowed = Plan { accumulate: 1, ..plan.named("unwindowed") }.finish(&sandbox, &[]);
    assert_ne!(unwindowed.outcome["metrics"], whole.outcome["metrics"]);
    // After the second batch of the first window; and in the second epoch.
    let later = plan.steps_of_epoch() + 4;
    let faults = [3, later].map(|step| fault(workers - 1, Moment::Step(step), Act::KillWorker));
    let begins = [1, plan.saved_before(3) + 1, plan.saved_before(later) + 1];
    plan.finish(&sandbox, &faults).assert_is(&whole, &begins);
}

#[test]
fn one_worker_is_killed_inside_a_window() {
    killed_inside_a_window(1);
}

#[test]
fn one_of_two_workers_is_killed_inside_a_window() {
    killed_inside_a_window(2);
}

#[test]
fn one_of_three_workers_is_killed_inside_a_window() {
    killed_inside_a_window(3);
}

/// Killed once, with the group's gradients in the buckets that libtorch makes by itself.
#[test]
fn buckets_are_those_of_the_run_that_was_not_killed() {
    let sandbox = Sandbox::new();
    let plan = Plan { every: Some(3), max_failures: 1, ..Plan::new("killed", 3) };
    let whole = plan.named("whole").finish(&sandbox, &[]);
    plan.named("twice").finish(&sandbox, &[]).assert_is(&whole, &[1]);
    let resumed = plan.finish(&sandbox, &[fault(1, Moment::Step(4), Act::KillWorker)]);
    resumed.assert_is(&whole, &[1, 4]);
}

/// Killed between the last step, which has a checkpoint of its own, and its evaluation.
#[test]
fn buffers_of_every_rank_are_its_own() {
    let sandbox = Sandbox::new();
    let plan = Plan { every: Some(3), max_failures: 1, ..Plan::new("killed", 2) };
    assert!(plan.steps().is_multiple_of(3));
    let whole = plan.named("whole").finish(&sandbox, &[]);
    let resumed = plan.finish(&sandbox, &[fault(1, Moment::Epoch(EPOCHS), Act::KillWorker)]);
    resumed.assert_is(&whole, &[1, plan.steps() + 1]);
}

/// The group goes on larger or smaller than it was: the epoch's samples are seen once each over both parts.
#[test]
fn another_world_size_sees_every_sample_once() {
    let sandbox = Sandbox::new();
    for (before, after) in [(2, 3), (3, 2)] {
        let plan = Plan { every: Some(3), ..Plan::new(&format!("from-{before}"), before) };
        let ended = plan.end(&sandbox, &[fault(0, Moment::Step(4), Act::KillDriver)]);
        assert_eq!(ended.code, None, "{ended:#?}");
        let first: Vec<_> = (0..before).flat_map(|rank| plan.trace(&sandbox, rank)).collect();
        for rank in 0..3 {
            let _ = std::fs::remove_file(sandbox.path().join(format!("{}-trace-{rank}.jsonl", plan.name)));
        }
        let plan = Plan { workers: after, ..plan };
        let ended = plan.end(&sandbox, &[]);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let second: Vec<_> = (0..after).flat_map(|rank| plan.trace(&sandbox, rank)).collect();
        for epoch in 0..EPOCHS {
            let kept = first.iter().filter(|line| line["step"].as_u64().is_some_and(|step| step <= 3));
            let lines = kept.chain(&second).filter(|line| line["epoch"] == epoch);
            let mut seen: Vec<u64> = lines
                .flat_map(|line| line["indices"].as_array().unwrap().iter().map(|index| index.as_u64().unwrap()))
                .collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..SAMPLES).collect::<Vec<_>>(), "{before} to {after} workers, epoch {epoch}");
        }
        assert_eq!(ended.json()["reports"], EPOCHS);
    }
}
