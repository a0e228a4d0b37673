//! Runs of the program `resume`, and what they left: to be held against those of a run that nothing happened to.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use trainloop_tests::fault::{Act, FAULTS, Fault, Moment};

use crate::common::{Ended, Running, Sandbox, json_lines};

pub(crate) const SAMPLES: u64 = 52;
const BATCH_SIZE: u64 = 4;
pub(crate) const EPOCHS: u64 = 3;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) workers: usize,
    /// A range of workers, and the file that says how many there is room for.
    pub(crate) elastic: Option<(usize, usize, PathBuf)>,
    pub(crate) every: Option<u64>,
    pub(crate) max_failures: u64,
    pub(crate) resume: &'static str,
    /// `Wait` or `Replace`.
    pub(crate) asynchronous: Option<&'static str>,
    /// Variables of its environment.
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) adam: bool,
    pub(crate) epochs: u64,
    pub(crate) accumulate: u64,
    pub(crate) counts_steps: bool,
    /// Another storage than the sandbox's, with what the environment says of it.
    pub(crate) storage: Option<(String, Vec<(&'static str, String)>)>,
}

impl Plan {
    pub(crate) fn new(name: &str, workers: usize) -> Self {
        Self {
            name: name.to_owned(),
            workers,
            elastic: None,
            every: None,
            max_failures: 0,
            resume: "IfExists",
            asynchronous: None,
            environment: Vec::new(),
            adam: true,
            epochs: EPOCHS,
            accumulate: 1,
            counts_steps: true,
            storage: None,
        }
    }

    pub(crate) fn named(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    pub(crate) fn ranks(&self) -> usize {
        self.workers.max(1)
    }

    pub(crate) fn steps_of_epoch(&self) -> u64 {
        SAMPLES.div_ceil(BATCH_SIZE * self.ranks() as u64)
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps_of_epoch() * self.epochs
    }

    /// The step that the last checkpoint before the end of step `step` has seen.
    pub(crate) fn saved_before(&self, step: u64) -> u64 {
        let made = |step: &u64| {
            step.is_multiple_of(self.steps_of_epoch()) || self.every.is_some_and(|every| step.is_multiple_of(every))
        };
        (1..step).rev().find(made).unwrap_or(0)
    }

    pub(crate) fn start(&self, sandbox: &Sandbox, faults: &[Fault]) -> Running {
        Running::start(self.command(sandbox, faults))
    }

    /// The program with this plan; not started yet.
    pub(crate) fn command(&self, sandbox: &Sandbox, faults: &[Fault]) -> Command {
        let plan = json!({
            "name": self.name,
            "storage": self.storage.as_ref().map_or_else(|| sandbox.storage(), |(url, _)| url.into()),
            "workers": self.workers,
            "elastic": self.elastic,
            "every": self.every,
            "keep": 2,
            "max_failures": self.max_failures,
            "resume": self.resume,
            "asynchronous": self.asynchronous,
            "config": {
                "adam": self.adam,
                "samples": SAMPLES,
                "batch_size": BATCH_SIZE,
                "accumulate": self.accumulate,
                "epochs": self.epochs,
                "counts_steps": self.counts_steps,
            },
        });
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_resume"));
        command.arg(plan.to_string()).env(FAULTS, serde_json::to_string(faults).unwrap());
        command.envs(self.storage.iter().flat_map(|(_, environment)| environment.clone()));
        // As many threads in all ranks, whatever the machine has: sums over threads differ in their last bits.
        command.env("OMP_NUM_THREADS", "1").envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn end(&self, sandbox: &Sandbox, faults: &[Fault]) -> Ended {
        let ended = self.start(sandbox, faults).end();
        sandbox.await_no_process();
        ended
    }

    /// Runs it to its good end, and reads what it left.
    #[track_caller]
    pub(crate) fn finish(&self, sandbox: &Sandbox, faults: &[Fault]) -> Finished {
        let ended = self.end(sandbox, faults);
        self.finished(sandbox, ended)
    }

    /// What it left that has come to its good end.
    #[track_caller]
    pub(crate) fn finished(&self, sandbox: &Sandbox, ended: Ended) -> Finished {
        assert_eq!(ended.code, Some(0), "{}: {ended:#?}", self.name);
        let mut outcome = ended.json();
        // It differs from run to run.
        let stood_still = outcome["stood_still"].take().as_f64().unwrap();
        assert_eq!(outcome["steps"], self.steps(), "{}", self.name);
        let checkpoint = PathBuf::from(outcome["latest"].as_str().unwrap());
        let traces = (0..self.ranks()).map(|rank| self.trace(sandbox, rank)).collect();
        Finished {
            name: self.name.clone(),
            files: files(&checkpoint),
            traces,
            stderr: ended.stderr,
            stood_still,
            outcome,
        }
    }

    pub(crate) fn run(&self, sandbox: &Sandbox) -> PathBuf {
        sandbox.storage().join(&self.name)
    }

    /// What that rank did, over all starts.
    pub(crate) fn trace(&self, sandbox: &Sandbox, rank: usize) -> Vec<Value> {
        json_lines(&sandbox.path().join(format!("{}-trace-{rank}.jsonl", self.name)))
    }
}

pub(crate) fn fault(rank: usize, at: Moment, act: Act) -> Fault {
    Fault { rank, at, act }
}

/// What a run left that came to its good end.
#[derive(Debug)]
pub(crate) struct Finished {
    name: String,
    pub(crate) outcome: Value,
    pub(crate) stderr: String,
    /// Seconds that training stood still for checkpoints.
    pub(crate) stood_still: f64,
    /// Of the last checkpoint, without its manifest.
    files: BTreeMap<PathBuf, Vec<u8>>,
    traces: Vec<Vec<Value>>,
}

impl Finished {
    /// Bit for bit: the weights and all else of the last checkpoint, the metrics of all reports, and in every step, made
    /// again or not, the same samples and the same loss. `begins` has the first step of each start.
    #[track_caller]
    pub(crate) fn assert_is(&self, whole: &Self, begins: &[u64]) {
        self.assert_ends_as(whole);
        let name = &self.name;
        for (rank, (trace, whole)) in self.traces.iter().zip(&whole.traces).enumerate() {
            let (steps, starts): (Vec<&Value>, Vec<&Value>) =
                trace.iter().partition(|line| line["begins_after"].is_null());
            let starts: Vec<u64> = starts.iter().map(|line| line["begins_after"].as_u64().unwrap() + 1).collect();
            assert_eq!(starts, begins, "{name}: rank {rank}");
            for line in steps {
                // The first line is where it began.
                assert_eq!(line, &whole[line["step"].as_u64().unwrap() as usize], "{name}: rank {rank}");
            }
            let mut expected = 0;
            for line in trace {
                expected = line["begins_after"].as_u64().unwrap_or_else(|| {
                    assert_eq!(line["step"], expected + 1, "{name}: rank {rank}");
                    expected + 1
                });
            }
            assert_eq!(expected + 1, whole.len() as u64, "{name}: rank {rank}");
        }
    }

    /// Bit for bit: the weights and all else of the last checkpoint, and the metrics of all reports.
    #[track_caller]
    pub(crate) fn assert_ends_as(&self, whole: &Self) {
        let name = &self.name;
        assert_eq!(self.files.keys().collect::<Vec<_>>(), whole.files.keys().collect::<Vec<_>>(), "{name}");
        for (path, bytes) in &self.files {
            assert!(*bytes == whole.files[path], "{name}: {} differs", path.display());
        }
        for key in ["metrics", "history", "reports"] {
            assert_eq!(self.outcome[key], whole.outcome[key], "{name}: {key}");
        }
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(here) = folders.pop() {
        for entry in std::fs::read_dir(here).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "manifest.json") {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}
