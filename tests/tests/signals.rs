//! The driver is interrupted or killed: no worker outlives it, and the storage can be used again.

mod common;

use common::{Running, Sandbox, await_that, json_lines, kill};
use rustix::process::Signal;
use trainloop_tests::scenario::Act;

/// Two ranks with helper processes of their own, one asleep, one in the middle of computing.
fn busy() -> [Vec<Act>; 2] {
    let started = [Act::Report(1), Act::StartGrandchild, Act::Print("busy".into())];
    [[started.as_slice(), &[Act::Sleep]].concat(), [started.as_slice(), &[Act::Compute]].concat()]
}

fn start_busy(sandbox: &Sandbox, name: &str) -> Running {
    let mut running = sandbox.scenario(name, &busy());
    running.await_lines(&["[rank 0] busy", "[rank 1] busy"]);
    // Driver, two workers, two `sleep`s: the check for what is left sees all of them.
    await_that("all processes are seen", || sandbox.processes().len() == 5);
    running
}

/// A run in the same storage, after whatever has happened to another.
fn assert_next_run_works(sandbox: &Sandbox, name: &str) {
    let ranks = [vec![Act::Report(2), Act::Barrier], vec![Act::Report(2), Act::Barrier]];
    let ended = sandbox.scenario(name, &ranks).end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.json()["reports"], 2);
    sandbox.assert_no_process();
}

/// Ctrl-C ends with 130, `kill` with 143, as a shell counts; workers and their helpers are gone before the driver is, and
/// what was reported is kept.
#[test]
fn signals_to_the_driver_end_the_run() {
    let sandbox = Sandbox::new();
    for (name, signal, code) in [("interrupted", Signal::INT, 130), ("terminated", Signal::TERM, 143)] {
        let running = start_busy(&sandbox, name);
        running.signal(signal);
        let ended = running.end();
        sandbox.assert_no_process();
        assert_eq!(ended.code, Some(code), "{ended:#?}");
        let run = sandbox.storage().join(name);
        let words = format!("error: the run was ended by signal {}; its folder is {}", code - 128, run.display());
        assert!(ended.stderr.contains(&words), "{ended:#?}");
        assert_eq!(json_lines(&run.join("reports.jsonl")).len(), 2);
    }
    assert_next_run_works(&sandbox, "next");
}

/// Ctrl-C while the workers still start.
#[test]
fn a_signal_comes_while_workers_start() {
    let sandbox = Sandbox::new();
    let running = sandbox.scenario("run", &[vec![Act::Sleep], vec![Act::Sleep]]);
    // The second worker is there, and has not yet loaded its libraries.
    await_that("the workers are started", || sandbox.processes().len() == 3);
    running.signal(Signal::INT);
    let ended = running.end();
    sandbox.assert_no_process();
    assert_eq!(ended.code, Some(130), "{ended:#?}");
}

/// Nobody is left to end the workers when the driver is killed: they end themselves, whether they sleep or compute.
#[test]
fn workers_die_with_a_killed_driver() {
    let sandbox = Sandbox::new();
    let running = start_busy(&sandbox, "killed");
    running.signal(Signal::KILL);
    sandbox.await_no_process();
    drop(running);
    assert_next_run_works(&sandbox, "next");
}

/// The driver is killed at each of several moments of the start: before, while and after its workers connect.
#[test]
fn workers_die_with_a_driver_killed_at_their_start() {
    let sandbox = Sandbox::new();
    for processes in 2..=4 {
        let name = format!("with-{processes}");
        let running = sandbox.scenario(&name, &[vec![Act::Sleep], vec![Act::Sleep], vec![Act::Sleep]]);
        await_that("workers are started", || sandbox.processes().len() >= processes);
        running.signal(Signal::KILL);
        sandbox.await_no_process();
    }
    assert_next_run_works(&sandbox, "next");
}

/// Driver and a worker are killed together: the other worker goes, too.
#[test]
fn driver_and_worker_are_killed_together() {
    let sandbox = Sandbox::new();
    let ranks = [vec![Act::Print("busy".into()), Act::Sleep], vec![Act::Print("busy".into()), Act::Compute]];
    for victim in 0..2 {
        let mut running = sandbox.scenario(&format!("killed-{victim}"), &ranks);
        running.await_lines(&["[rank 0] busy", "[rank 1] busy"]);
        kill(sandbox.pid_of_rank(victim), Signal::KILL);
        running.signal(Signal::KILL);
        sandbox.await_no_process();
    }
    assert_next_run_works(&sandbox, "next");
}
