//! Processes that wait for the next generation: they become its ranks, and leave nothing behind.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{Running, Sandbox, await_that, kill};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What the driver says once both are warm.
const READY: &str = "2 spare processes are ready for a restart (";

#[allow(clippy::needless_pass_by_value)] // written where it is called
fn start(sandbox: &Sandbox, change: Value) -> Running {
    let mut plan = json!({ "storage": sandbox.storage(), "workers": 2, "max_failures": 1 });
    plan.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_spares"));
    command.arg(plan.to_string());
    Running::start(command)
}

/// The processes that were started as spares, whatever they are now.
fn spares(sandbox: &Sandbox) -> Vec<i32> {
    let is_spare = |pid: &i32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|entry| entry.starts_with(b"TRAINLOOP_WORKER=spare:"))
    };
    let mut pids: Vec<i32> = sandbox.processes().into_iter().filter(is_spare).collect();
    pids.sort_unstable();
    pids
}

/// The ranks' processes, once the N-th generation runs.
fn await_generation(sandbox: &Sandbox, generation: usize) -> Vec<i32> {
    let pid = |rank: usize| -> Option<i32> {
        let pids = fs::read_to_string(sandbox.path().join(format!("pids-{rank}"))).ok()?;
        pids.lines().nth(generation - 1)?.parse().ok()
    };
    await_that("the generation runs", || (0..2).all(|rank| pid(rank).is_some()));
    (0..2).filter_map(pid).collect()
}

/// Lets the N-th generation come to its end, which is the run's.
#[track_caller]
fn finish(sandbox: &Sandbox, running: Running, generation: usize, restarts: u64) {
    fs::write(sandbox.path().join(format!("go-{generation}")), "").unwrap();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.json(), json!({ "restarts": restarts }));
    sandbox.assert_no_process();
}

fn read(pid: i32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap().trim().to_owned()
}

/// What the open files of a process are.
fn open_files(pid: i32) -> BTreeSet<String> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    fds.filter_map(|fd| Some(fs::read_link(fd.path()).ok()?.display().to_string())).collect()
}

/// A rank is killed: both ranks of the next generation are the spares, and are as any other worker is.
#[test]
fn the_next_generation_runs_in_the_spares() {
    let sandbox = Sandbox::new();
    let mut running = start(&sandbox, json!({}));
    running.await_lines(&[READY, " MiB each)"]);
    let waiting = spares(&sandbox);
    let first = await_generation(&sandbox, 1);
    assert_eq!(waiting.len(), 2);
    let score = read(first[0], "oom_score_adj");
    let inherited = open_files(std::process::id() as i32);
    for &spare in &waiting {
        assert!(!first.contains(&spare));
        // Its output, its errors, one socket for its invitation, and the driver: no port, and no file of the run.
        let files: BTreeSet<String> = open_files(spare).difference(&inherited).cloned().collect();
        let count = |kind: &str| files.iter().filter(|file| file.starts_with(kind)).count();
        assert_eq!((count("pipe:"), count("socket:"), count("anon_inode:[pidfd]")), (2, 1, 1), "{files:?}");
        assert_eq!(files.len(), 4, "{files:?}");
        assert_eq!(read(spare, "oom_score_adj"), "1000");
        assert_eq!(read(spare, "cmdline"), read(first[0], "cmdline"));
    }
    kill(first[1], Signal::KILL);
    let mut second = await_generation(&sandbox, 2);
    for (rank, pid) in second.iter().enumerate() {
        running.await_lines(&[&format!("[rank {rank}] in process {pid}")]);
        let log = fs::read_to_string(sandbox.storage().join(format!("run/logs/rank-{rank}.log"))).unwrap();
        assert!(log.contains(&format!("in process {pid}\n")), "{log}");
        assert_eq!(fs::read_link(format!("/proc/{pid}/fd/0")).unwrap(), Path::new("/dev/null"));
        assert_eq!(read(*pid, "oom_score_adj"), score);
    }
    second.sort_unstable();
    assert_eq!(second, waiting);
    // It was the last failure that is allowed.
    running.await_lines(&["report   2"]);
    assert_eq!(spares(&sandbox), waiting);
    finish(&sandbox, running, 2, 1);
}

/// The rank is killed as soon as its first spare is there, which is not ready yet; the second one does not exist.
#[test]
fn a_spare_that_is_not_ready_becomes_a_rank_all_the_same() {
    let sandbox = Sandbox::new();
    let mut running = start(&sandbox, json!({}));
    running.await_lines(&["report   1"]);
    let waiting = spares(&sandbox);
    // Stopped where it is, until after the rank's death.
    for spare in &waiting {
        kill(*spare, Signal::STOP);
    }
    let first = await_generation(&sandbox, 1);
    kill(first[1], Signal::KILL);
    running.await_lines(&["the group starts again"]);
    await_that("both ranks are started", || sandbox.processes().iter().filter(|pid| !first.contains(pid)).count() == 3);
    for spare in &waiting {
        kill(*spare, Signal::CONT);
    }
    let second = await_generation(&sandbox, 2);
    assert!(waiting.iter().all(|spare| second.contains(spare)), "{waiting:?} in {second:?}");
    finish(&sandbox, running, 2, 1);
}

/// With another failure allowed the second generation has spares again.
#[test]
fn every_generation_but_the_last_has_spares() {
    let sandbox = Sandbox::new();
    let running = start(&sandbox, json!({ "max_failures": 2 }));
    let mut before = Vec::new();
    for generation in 1..=2 {
        await_that("two more spares wait", || spares(&sandbox).len() == before.len() + 2);
        let ranks = await_generation(&sandbox, generation);
        before = spares(&sandbox).into_iter().filter(|spare| !ranks.contains(spare)).collect();
        kill(ranks[1], Signal::KILL);
    }
    let mut third = await_generation(&sandbox, 3);
    third.sort_unstable();
    assert_eq!(third, before);
    finish(&sandbox, running, 3, 2);
}

/// They are started before the first report is taken, so none then is none at all: switched off; no failure allowed.
#[test]
fn where_there_are_none() {
    for (change, expected) in [
        (json!({}), true),
        (json!({ "warm_spares": true }), true),
        (json!({ "warm_spares": false }), false),
        (json!({ "max_failures": 0 }), false),
        (json!({ "max_failures": 0, "warm_spares": true }), false),
    ] {
        let sandbox = Sandbox::new();
        let mut running = start(&sandbox, change.clone());
        running.await_lines(&["report   1"]);
        assert_eq!(!spares(&sandbox).is_empty(), expected, "{change}");
        finish(&sandbox, running, 1, 0);
    }
}

/// No failure is allowed, but a resize may come.
#[test]
fn a_group_that_follows_a_file_has_spares() {
    let sandbox = Sandbox::new();
    let slots = sandbox.path().join("slots");
    fs::write(&slots, "2\n").unwrap();
    let mut running = start(&sandbox, json!({ "max_failures": 0, "slots": slots }));
    running.await_lines(&[READY]);
    finish(&sandbox, running, 1, 0);
}

#[test]
fn no_spare_outlives_the_driver() {
    let sandbox = Sandbox::new();
    let mut running = start(&sandbox, json!({}));
    running.await_lines(&[READY]);
    assert_eq!(spares(&sandbox).len(), 2);
    running.signal(Signal::KILL);
    sandbox.await_no_process();
}

/// One spare, or each, is killed before it is needed: a rank without one is started as ever.
#[test]
fn a_killed_spare_does_no_harm() {
    for killed in [1, 2] {
        let sandbox = Sandbox::new();
        let mut running = start(&sandbox, json!({}));
        running.await_lines(&[READY]);
        let waiting = spares(&sandbox);
        for &spare in &waiting[..killed] {
            kill(spare, Signal::KILL);
        }
        await_that("they are dead", || spares(&sandbox).len() == 2 - killed);
        kill(await_generation(&sandbox, 1)[1], Signal::KILL);
        let second = await_generation(&sandbox, 2);
        let from_spares: Vec<i32> = second.into_iter().filter(|pid| waiting.contains(pid)).collect();
        assert_eq!(from_spares, waiting[killed..]);
        finish(&sandbox, running, 2, 1);
    }
}
