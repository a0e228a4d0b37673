//! A run that is asked to stop makes one more checkpoint, at the same step on all ranks, and its name goes on from there.

mod common;
mod resume_common;

use common::{Ended, Sandbox, await_that};
use resume_common::{Plan, fault};
use rustix::process::Signal;
use trainloop::trainer::{RunState, StateChange};
use trainloop_tests::fault::{Act, Moment};

/// The steps after which the ranks said that they stopped.
fn stopped_after(plan: &Plan, ended: &Ended) -> u64 {
    let words = |rank: usize| {
        let prefix = if plan.workers == 0 { String::new() } else { format!("[rank {rank}] ") };
        let line = ended.stdout.lines().find_map(|line| line.strip_prefix(&format!("{prefix}stopped after ")));
        line.unwrap_or_else(|| panic!("rank {rank} did not stop: {ended:#?}")).to_owned()
    };
    let steps = words(0);
    for rank in 1..plan.ranks() {
        assert_eq!(words(rank), steps);
    }
    steps.split_once(' ').unwrap().0.parse().unwrap()
}

/// A signal to the driver after some steps, which take longer from then on so that there is something to stop.
fn ask_to_stop(sandbox: &Sandbox, plan: &Plan, after: u64, signal: i32) -> u64 {
    let last = plan.ranks() - 1;
    let faults =
        [fault(last, Moment::Step(after), Act::Signal(signal)), fault(last, Moment::From(after), Act::Slow(10))];
    let ended = plan.end(sandbox, &faults);
    assert_eq!(ended.code, Some(128 + signal), "{ended:#?}");
    let words = format!("error: the run was ended by signal {signal} after step ");
    assert!(ended.stderr.contains(&words), "{ended:#?}");
    let states: Vec<RunState> =
        StateChange::of_run(plan.run(sandbox)).unwrap().iter().map(|change| change.to).collect();
    let shutting_down = states.len().checked_sub(2).map(|place| states[place]);
    let before = if plan.workers == 0 { RunState::Running } else { RunState::ShuttingDown };
    assert_eq!((shutting_down, states.last()), (Some(before), Some(&RunState::Aborted)), "{states:?}");
    stopped_after(plan, &ended)
}

/// Ctrl-C, then `kill`, then the end: all ranks stop after one step, and go on with the next.
fn stops_and_goes_on(workers: usize) {
    let sandbox = Sandbox::new();
    let plan = Plan { epochs: 40 / if workers == 0 { 2 } else { 1 }, ..Plan::new("stopped", workers) };
    let first = ask_to_stop(&sandbox, &plan, 20, 2);
    assert!((20..plan.steps()).contains(&first), "{first}");
    let second = ask_to_stop(&sandbox, &plan, first + 20, 15);
    assert!((first + 20..plan.steps()).contains(&second), "{second}");
    let whole = plan.named("whole").finish(&sandbox, &[]);
    plan.finish(&sandbox, &[]).assert_is(&whole, &[1, first + 1, second + 1]);
}

#[test]
fn two_ranks_stop_after_one_step() {
    stops_and_goes_on(2);
}

#[test]
fn a_loop_without_workers_stops() {
    stops_and_goes_on(0);
}

/// A loop that never calls `ctx.step` stops with its next `report_with`.
#[test]
fn a_loop_that_only_reports_stops_there() {
    for workers in [0, 2] {
        let sandbox = Sandbox::new();
        let plan = Plan { counts_steps: false, epochs: 6, ..Plan::new("stopped", workers) };
        // In the second epoch: that it can be stopped is known from its first report on.
        let epoch = plan.steps_of_epoch();
        let stopped = ask_to_stop(&sandbox, &plan, epoch + 2, 2);
        assert!(stopped > epoch && stopped.is_multiple_of(epoch) && stopped < plan.steps(), "{stopped}");
        let whole = plan.named("whole").finish(&sandbox, &[]);
        plan.finish(&sandbox, &[]).assert_is(&whole, &[1, stopped + 1]);
    }
}

/// The second signal does not wait for a rank that never comes to its next step; the last checkpoint is the one before.
#[test]
fn a_second_signal_ends_at_once() {
    for workers in [0, 2] {
        let sandbox = Sandbox::new();
        let plan = Plan { every: Some(3), ..Plan::new("stopped", workers) };
        let running = plan.start(&sandbox, &[fault(0, Moment::Step(5), Act::Pause)]);
        await_that("rank 0 pauses", || sandbox.path().join("paused-0").exists());
        running.signal(Signal::INT);
        // Two that are pending at the same time are one; the first is dealt with once the driver waits again.
        await_that("the signal is taken", || !is_pending(running.pid(), 2) && is_asleep(running.pid()));
        running.signal(Signal::INT);
        let ended = running.end();
        sandbox.await_no_process();
        // Without workers it is the signal itself that ends the process.
        assert_eq!(ended.code, if workers == 0 { None } else { Some(130) }, "{ended:#?}");
        let whole = plan.named("whole").finish(&sandbox, &[]);
        plan.finish(&sandbox, &[]).assert_is(&whole, &[1, 4]);
    }
}

/// True where a signal was sent to the process and not yet delivered.
fn is_pending(pid: i32, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap_or("0").trim();
    u64::from_str_radix(mask, 16).unwrap_or(0) & (1 << (signal - 1)) != 0
}

fn is_asleep(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:\tS"))
}
