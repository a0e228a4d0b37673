//! Runs of the program `checkpoints`, all of them called `run`.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trainloop::trainer::StateChange;
use trainloop_tests::script::{Act, SCRIPT};

use crate::common::{Ended, Running, Sandbox};

/// For each start of the group, for each rank.
pub(crate) type Script = Vec<Vec<Vec<Act>>>;

#[derive(Debug, Clone)]
pub(crate) struct Play {
    pub(crate) storage: PathBuf,
    pub(crate) workers: usize,
    pub(crate) keep: Option<usize>,
    pub(crate) score: Option<&'static str>,
    pub(crate) max_failures: u64,
    /// Whatever `max_failures` is.
    pub(crate) unlimited: bool,
    pub(crate) max_start_failures: Option<u64>,
    pub(crate) start_timeout_ms: Option<u64>,
    /// What `TRAINLOOP_FAULT` says.
    pub(crate) fault: &'static str,
}

impl Play {
    pub(crate) fn new(sandbox: &Sandbox, workers: usize) -> Self {
        Self {
            storage: sandbox.storage(),
            workers,
            keep: None,
            score: None,
            max_failures: 0,
            unlimited: false,
            max_start_failures: None,
            start_timeout_ms: None,
            fault: "",
        }
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.storage.join("run")
    }

    pub(crate) fn start(&self, sandbox: &Sandbox, script: &Script) -> Running {
        let plan = json!({
            "storage": self.storage,
            "workers": self.workers,
            "keep": self.keep,
            "score": self.score,
            "max_failures": (!self.unlimited).then_some(self.max_failures),
            "max_start_failures": self.max_start_failures,
            "start_timeout_ms": self.start_timeout_ms,
        });
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_checkpoints"));
        command.args(["fit", &plan.to_string()]).env(SCRIPT, serde_json::to_string(script).unwrap());
        if !self.fault.is_empty() {
            command.env("TRAINLOOP_FAULT", self.fault);
        }
        command.env("TRAINLOOP_TEST_RUN", self.run()).env("TRAINLOOP_TEST_STARTS", self.starts().to_string());
        Running::start(command)
    }

    #[track_caller]
    pub(crate) fn end(&self, sandbox: &Sandbox, script: &Script) -> Ended {
        let ended = self.start(sandbox, script).end();
        sandbox.await_no_process();
        ended
    }

    /// Its outcome, which is the same when it is read again from the folder.
    #[track_caller]
    pub(crate) fn finish(&self, sandbox: &Sandbox, script: &Script) -> Value {
        let ended = self.end(sandbox, script);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let outcome = ended.json();
        let opened = program(sandbox, &["open", self.run().to_str().unwrap()]);
        assert_eq!(opened.json(), outcome);
        outcome
    }

    #[track_caller]
    pub(crate) fn fail(&self, sandbox: &Sandbox, script: &Script, words: &[&str]) -> Ended {
        let ended = self.end(sandbox, script);
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        for words in words {
            assert!(ended.stderr.contains(words), "no {words:?} in {ended:#?}");
        }
        assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
        ended
    }

    /// The states of the run so far, and the ranks that were their reasons.
    pub(crate) fn states(&self) -> Vec<(String, Option<usize>)> {
        let changes = StateChange::of_run(self.run()).unwrap();
        changes.into_iter().map(|change| (change.to.to_string(), change.rank)).collect()
    }

    /// How often the group was started, by any driver.
    pub(crate) fn starts(&self) -> u64 {
        fs::read_to_string(self.run().join("generation")).map_or(0, |text| text.trim().parse().unwrap())
    }

    pub(crate) fn checkpoint(&self, index: u64) -> PathBuf {
        self.run().join(format!("checkpoints/checkpoint_{index:06}"))
    }

    /// What lies in `checkpoints/`.
    pub(crate) fn folders(&self) -> Vec<String> {
        names(&self.run().join("checkpoints"))
    }
}

/// The program with other arguments than a run's.
#[track_caller]
pub(crate) fn program(sandbox: &Sandbox, arguments: &[&str]) -> Ended {
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_checkpoints"));
    command.args(arguments);
    Running::start(command).end()
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn report(value: &str) -> Act {
    Act::Report(value.to_owned())
}

pub(crate) fn state(value: &str) -> Act {
    Act::State(value.to_owned())
}

pub(crate) fn files(value: &str, files: &[(&str, usize)]) -> Act {
    Act::Files(value.to_owned(), files.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect())
}

pub(crate) fn error(words: &str) -> Act {
    Act::Error(words.to_owned())
}
