//! A run's name belongs to one driver at a time, to one loop with one config, and to nobody once its driver is gone.

mod common;
mod resume_common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Ended, Sandbox, await_that};
use resume_common::{Plan, fault};
use trainloop_tests::fault::{Act, Moment};

/// Every file below `folder`.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(here) = folders.pop() {
        for entry in fs::read_dir(here).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    found
}

#[track_caller]
fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    for words in words {
        assert!(ended.stderr.contains(words), "no {words:?} in {ended:#?}");
    }
}

/// A second driver is told who has the run, and changes nothing; once the first is killed, no lock is in the way.
#[test]
fn a_run_has_one_driver() {
    let sandbox = Sandbox::new();
    let plan = Plan { every: Some(3), ..Plan::new("run", 1) };
    let running = plan.start(&sandbox, &[fault(0, Moment::Step(5), Act::Pause)]);
    await_that("rank 0 pauses", || sandbox.path().join("paused-0").exists());
    let before = contents(&plan.run(&sandbox));
    // Not `Plan::end`: there are processes, those of the first.
    let second = plan.start(&sandbox, &[]).end();
    assert_refused(&second, &[&format!("in the hands of another driver (process {})", running.pid())]);
    assert_eq!(contents(&plan.run(&sandbox)), before);
    running.signal(rustix::process::Signal::KILL);
    drop(running);
    sandbox.await_no_process();
    let whole = plan.named("whole").finish(&sandbox, &[]);
    plan.finish(&sandbox, &[]).assert_is(&whole, &[1, 4]);
}

/// Another config is refused with the field that differs; `Never` and `Require` are kept to; a run that has ended is not
/// trained again and keeps its metrics. All the while the other runs of the storage stay as they were, to the byte.
#[test]
fn a_name_is_that_of_one_run() {
    let sandbox = Sandbox::new();
    let plan = Plan::new("run", 0);
    let refused = Plan { resume: "Require", ..plan.clone() }.end(&sandbox, &[]);
    assert_refused(&refused, &["there is no run at", "`Resume::Require`"]);
    assert!(!sandbox.storage().exists(), "a refusal leaves nothing");

    plan.named("other").finish(&sandbox, &[]);
    let other = contents(&sandbox.storage());
    let first = Plan { resume: "Never", ..plan.clone() }.finish(&sandbox, &[]);
    let run = contents(&plan.run(&sandbox));

    let differs = Plan { epochs: 4, adam: false, ..plan.clone() }.end(&sandbox, &[]);
    assert_refused(&differs, &["its `epochs` is 3, not 4", "its `adam` is true, not false", "another name"]);
    assert!(!differs.stderr.contains("samples"), "{}", differs.stderr);
    let never = Plan { resume: "Never", ..plan.clone() }.end(&sandbox, &[]);
    assert_refused(&never, &["there is a run at", "`Resume::Never`", "another name"]);
    assert_eq!(contents(&plan.run(&sandbox)), run, "a refusal changes nothing");

    for resume in ["IfExists", "Require"] {
        let again = Plan { resume, ..plan.clone() }.finish(&sandbox, &[]);
        assert_eq!(again.outcome, first.outcome);
    }
    let begun: Vec<u64> = plan.trace(&sandbox, 0).iter().filter_map(|line| line["begins_after"].as_u64()).collect();
    assert_eq!(begun, [0, plan.steps(), plan.steps()], "nothing was left to do");
    let mut after = contents(&sandbox.storage());
    after.retain(|path, _| !path.starts_with(plan.run(&sandbox)));
    assert_eq!(after, other);
}
