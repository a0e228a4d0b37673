//! Metrics as JSON lines.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use trainloop_checkpoint::unix_now;

use super::{Logged, Rewind, Tracker};
use crate::callback::RunInfo;
use crate::controller::open_whole;
use crate::error::{Error, Result};
use crate::trainer::write_whole;

/// A line of JSON for each report and each [`ctx.log`](crate::worker::Context::log): `metrics.jsonl` in the run's folder.
///
/// ```text
/// {"config":{"lr":0.1}}
/// {"step":10,"unix_time":1764338400.25,"metrics":{"train/loss":0.5}}
/// {"step":10,"report":0,"unix_time":1764338401.5,"metrics":{"loss":0.5,"worst":"NaN"}}
/// ```
///
/// Where a run goes on from a checkpoint, the lines past it are cut off. A float that JSON cannot write is one of the strings
/// `"NaN"`, `"Infinity"`, `"-Infinity"`.
#[derive(Debug, Default)]
pub struct JsonLines {
    chosen: Option<PathBuf>,
    path: PathBuf,
    file: Option<File>,
}

/// What is looked at in a line.
#[derive(Deserialize)]
struct Line {
    step: Option<u64>,
    report: Option<u64>,
}

impl JsonLines {
    /// In the run's folder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// In that file. A run in object storage has its folder in the user's cache, so there this is the way to a place of one's
    /// own.
    #[must_use]
    pub fn file(mut self, file: impl Into<PathBuf>) -> Self {
        self.chosen = Some(file.into());
        self
    }

    fn append(&mut self, line: &Value) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(format!("{line}\n").as_bytes()).map_err(Error::io("write", &self.path))
    }

    fn lines(&self) -> Result<Vec<String>> {
        let text = std::fs::read_to_string(&self.path).map_err(Error::io("read", &self.path))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

impl Tracker for JsonLines {
    fn name(&self) -> &'static str {
        "JSON lines"
    }

    fn start(&mut self, run: &RunInfo) -> Result<()> {
        self.path = self.chosen.clone().unwrap_or_else(|| run.path.join("metrics.jsonl"));
        self.file = Some(open_whole(&self.path).map_err(Error::io("open", &self.path))?);
        Ok(())
    }

    fn rewind(&mut self, mut to: Rewind) -> Result<()> {
        let lines = self.lines()?;
        let count = lines.len();
        let mut kept = String::new();
        let mut left = 0;
        for (number, line) in (1..).zip(lines) {
            let Line { step, report } = serde_json::from_str(&line).map_err(|error| {
                Error::data_file(&self.path, format!("line {number} is not one of this tracker: {error}"))
            })?;
            if step.is_none() || to.keeps(report) {
                kept.push_str(&line);
                kept.push('\n');
                left += 1;
            }
        }
        if left < count {
            write_whole(&self.path, kept.as_bytes())?;
            self.file = Some(open_whole(&self.path).map_err(Error::io("open", &self.path))?);
        }
        Ok(())
    }

    fn log_config(&mut self, config: &Logged) -> Result<()> {
        let line = json!({ "config": object(config) });
        let text = line.to_string();
        if self.lines()?.contains(&text) { Ok(()) } else { self.append(&line) }
    }

    fn log(&mut self, logged: &Logged) -> Result<()> {
        let mut line = Map::new();
        line.insert("step".to_owned(), logged.step().into());
        if let Some(report) = logged.report() {
            line.insert("report".to_owned(), report.into());
        }
        line.insert("unix_time".to_owned(), unix_now().into());
        line.insert("metrics".to_owned(), object(logged));
        self.append(&line.into())
    }

    fn finish(&mut self) -> Result<()> {
        self.file = None;
        Ok(())
    }
}

fn object(logged: &Logged) -> Value {
    logged.iter().map(|(name, value)| (name.to_owned(), value.to_json())).collect::<Map<_, _>>().into()
}
