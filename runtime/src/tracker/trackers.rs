//! A run's trackers, in the driver.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::given::{Given, Shared};
use super::logged::{Logged, step};
use super::{Rewind, Tracker};
use crate::callback::RunInfo;
use crate::controller::open_whole;
use crate::error::{Error, Result, with_causes};
use crate::log::Console;

/// Hands what is reported and logged to the trackers; one that fails is left out.
pub(crate) struct Trackers {
    all: RefCell<Vec<Shared>>,
    marks: PathBuf,
    /// How often rank 0 has logged, up to the checkpoint that the group began from and since.
    logged: Cell<u64>,
    /// Until the trackers have it.
    config: Cell<Option<Logged>>,
    console: Rc<Console>,
}

/// How often rank 0 had logged when it began a checkpoint: a line of `logged.jsonl` in the run's folder. It is there in a run
/// that has had a tracker.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    checkpoint: u64,
    logged: u64,
}

impl Trackers {
    pub(crate) fn start(given: &Given, run: &RunInfo, config: &Value, console: Rc<Console>) -> Result<Self> {
        for tracker in given.all() {
            lock(tracker, |tracker| {
                tracker.start(run).map_err(|error| {
                    let reason = with_causes(&error);
                    Error::config(format!("the tracker `{}` cannot start: {reason}", tracker.name()))
                })
            })?;
        }
        Ok(Self {
            all: RefCell::new(given.all().to_vec()),
            marks: run.path.join("logged.jsonl"),
            logged: Cell::new(0),
            config: Cell::new(Some(Logged::of_record(0, None, config))),
            console,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.borrow().is_empty()
    }

    /// The group is about to start from that checkpoint, before which so many reports were made.
    pub(crate) fn rewind(&self, checkpoint: Option<u64>, reports: u64) -> Result<()> {
        let logged = match checkpoint {
            Some(checkpoint) => logged_before(&self.marks, checkpoint)?,
            None => 0,
        };
        self.logged.set(logged);
        self.each(|tracker| tracker.rewind(Rewind::to(reports, logged)));
        if let Some(config) = self.config.take() {
            self.each(|tracker| tracker.log_config(&config));
        }
        Ok(())
    }

    /// All ranks have made a report, after so many steps.
    pub(crate) fn report(&self, index: u64, steps: u64, reduced: &Value) {
        if !self.is_empty() {
            let logged = Logged::of_record(step(steps, index), Some(index), reduced);
            self.each(|tracker| tracker.log(&logged));
        }
    }

    /// Rank 0 has logged something.
    pub(crate) fn log(&self, step: u64, values: &Value) {
        self.logged.set(self.logged.get() + 1);
        let logged = Logged::of_record(step, None, values);
        self.each(|tracker| tracker.log(&logged));
    }

    /// Rank 0 has begun a checkpoint.
    pub(crate) fn begin_checkpoint(&self, checkpoint: u64) -> Result<()> {
        // A run that was tracked once may be again.
        if self.is_empty() && !self.marks.exists() {
            return Ok(());
        }
        let mark = Mark { checkpoint, logged: self.logged.get() };
        let mut line =
            serde_json::to_vec(&mark).map_err(|error| Error::serde("write a mark of the trackers", error))?;
        line.push(b'\n');
        let append = || open_whole(&self.marks)?.write_all(&line);
        append().map_err(Error::io("write", &self.marks))
    }

    /// Nothing more comes.
    pub(crate) fn finish(&self) {
        self.each(|tracker| tracker.finish());
    }

    fn each(&self, mut call: impl FnMut(&mut dyn Tracker) -> Result<()>) {
        self.all.borrow_mut().retain(|tracker| {
            lock(tracker, |tracker| {
                let Err(error) = call(tracker) else { return true };
                let (name, reason) = (tracker.name(), with_causes(&error));
                self.console.warning(&format!("the tracker `{name}` gets nothing from here on: {reason}"));
                false
            })
        });
    }
}

fn lock<T>(tracker: &Shared, call: impl FnOnce(&mut dyn Tracker) -> T) -> T {
    // One that has panicked is no worse than one that has failed.
    call(&mut *tracker.lock().unwrap_or_else(PoisonError::into_inner))
}

/// How often rank 0 had logged when it began that checkpoint.
fn logged_before(marks: &Path, checkpoint: u64) -> Result<u64> {
    let text = match std::fs::read_to_string(marks) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Error::io("read", marks)(error)),
    };
    // A line that a killed driver left unfinished is that of no checkpoint.
    let marks = text.lines().filter_map(|line| serde_json::from_str::<Mark>(line).ok());
    Ok(marks.rev().find(|mark| mark.checkpoint == checkpoint).map_or(0, |mark| mark.logged))
}
