//! A group whose number of workers follows a file: larger and smaller while it runs, and every sample of each epoch once.

mod common;
mod resume_common;

use std::fs;
use std::path::PathBuf;

use common::{Ended, Sandbox, await_that};
use resume_common::{EPOCHS, Plan, SAMPLES, fault};
use rustix::process::Signal;
use trainloop::trainer::{RunState, StateChange};
use trainloop_tests::fault::{Act, Moment};

struct Elastic {
    sandbox: Sandbox,
    plan: Plan,
    file: PathBuf,
}

impl Elastic {
    fn new(slots: usize) -> Self {
        let sandbox = Sandbox::new();
        let file = sandbox.path().join("slots");
        let plan = Plan { elastic: Some((1, 3, file.clone())), ..Plan::new("elastic", slots) };
        let elastic = Self { sandbox, plan, file };
        elastic.set(slots);
        elastic
    }

    /// As a careful writer does it: whole or not at all.
    fn set(&self, slots: usize) {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{slots}\n")).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    fn changes(&self) -> Vec<StateChange> {
        StateChange::of_run(self.plan.run(&self.sandbox)).unwrap_or_default()
    }

    /// The number of workers of each generation that began to run.
    fn sizes(&self) -> Vec<usize> {
        let running = self.changes().into_iter().filter(|change| change.to == RunState::Running);
        running.map(|change| change.world_size).collect()
    }

    /// Every sample of every epoch was seen once, by the steps that count: those that a checkpoint has seen, of each
    /// generation.
    #[track_caller]
    fn assert_every_sample_once(&self, ended: &Ended) {
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert_eq!(ended.json()["reports"], EPOCHS);
        let mut seen = vec![Vec::new(); EPOCHS as usize];
        for rank in 0..3 {
            if !self.sandbox.path().join(format!("{}-trace-{rank}.jsonl", self.plan.name)).exists() {
                continue;
            }
            for line in self.plan.trace(&self.sandbox, rank) {
                let Some(epoch) = line["epoch"].as_u64() else { continue };
                let indices = line["indices"].as_array().unwrap().iter().map(|index| index.as_u64().unwrap());
                seen[epoch as usize].extend(indices);
            }
        }
        for (epoch, mut indices) in seen.into_iter().enumerate() {
            indices.sort_unstable();
            assert_eq!(indices, (0..SAMPLES).collect::<Vec<_>>(), "epoch {epoch}, sizes {:?}", self.sizes());
        }
    }
}

/// From 2 to 3 in the middle of an epoch: all ranks stop after one step with a checkpoint, and three go on from there.
#[test]
fn a_group_grows_and_shrinks() {
    for (before, after) in [(2, 3), (3, 2)] {
        let elastic = Elastic::new(before);
        // The last rank waits after its third step, and takes its time after that, so that there is something to divide.
        let last = before - 1;
        let faults = [fault(last, Moment::Step(3), Act::Pause), fault(last, Moment::From(3), Act::Slow(100))];
        let running = elastic.plan.start(&elastic.sandbox, &faults);
        let paused = elastic.sandbox.path().join(format!("paused-{last}"));
        await_that("a rank pauses", || paused.exists());
        elastic.set(after);
        await_that("the group is to be resized", || {
            elastic.changes().last().is_some_and(|change| change.to == RunState::Resizing)
        });
        fs::write(elastic.sandbox.path().join("go"), "").unwrap();
        let ended = running.end();
        elastic.sandbox.assert_no_process();
        elastic.assert_every_sample_once(&ended);
        assert_eq!(elastic.sizes(), [before, after], "{ended:#?}");
        assert_eq!(ended.json()["restarts"], 0);
        let states: Vec<RunState> = elastic.changes().iter().map(|change| change.to).collect();
        let expected = [
            RunState::Initializing,
            RunState::Scheduling,
            RunState::Running,
            RunState::Resizing,
            RunState::Scheduling,
            RunState::Running,
            RunState::ShuttingDown,
            RunState::Finished,
        ];
        assert_eq!(states, expected);
        let note = format!("resized from {before} to {after}, generation 2 of {after}\n");
        assert!(ended.stdout.contains(&note), "{ended:#?}");
    }
}

/// A worker that is killed, with its slot gone: no failure is allowed, and the others go on without it.
#[test]
fn a_lost_slot_is_no_failure() {
    let elastic = Elastic::new(2);
    let faults = [fault(1, Moment::Step(1), Act::Pause)];
    let running = elastic.plan.start(&elastic.sandbox, &faults);
    await_that("rank 1 pauses", || elastic.sandbox.path().join("paused-1").exists());
    let worker = elastic.sandbox.pid_of_rank(1);
    // The group cannot stop while this rank waits; then it is gone.
    elastic.set(1);
    common::kill(worker, Signal::KILL);
    let ended = running.end();
    elastic.sandbox.assert_no_process();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(elastic.sizes(), [2, 1]);
    assert_eq!(ended.json()["reports"], EPOCHS);
}

/// What cannot be read, or is too little, changes nothing.
#[test]
fn nonsense_in_the_file_is_a_warning() {
    let elastic = Elastic::new(2);
    let faults = [fault(1, Moment::Step(3), Act::Pause)];
    let mut running = elastic.plan.start(&elastic.sandbox, &faults);
    await_that("rank 1 pauses", || elastic.sandbox.path().join("paused-1").exists());
    fs::write(&elastic.file, "many").unwrap();
    running.await_lines(&["holds \"many\", and the number of slots is to stand there"]);
    elastic.set(0);
    running.await_lines(&["1 to 3 workers are asked for, and there is room for 0"]);
    fs::write(elastic.sandbox.path().join("go"), "").unwrap();
    let ended = running.end();
    elastic.assert_every_sample_once(&ended);
    assert_eq!(elastic.sizes(), [2]);
}
