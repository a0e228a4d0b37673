//! What came of a run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trainloop_checkpoint::{
    Checkpoints, Mode, Ranked, Retention, RunStorage, Score, StorageOptions, cache_folder, storage_url,
};

use super::history;
use super::registry::TrainLoop;
use super::run_folder::{Record, without_scheme, write_whole};
use crate::channel::Travels;
use crate::checkpoint::Checkpoint;
use crate::controller::record;
use crate::error::{Error, Result};
use crate::metric::Ranks;
use crate::worker::StepTimes;

/// What came of a run that ended well. It can be read again from the run's folder alone: [`Outcome::open`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome<L: TrainLoop> {
    /// The last report that all ranks made, reduced over them.
    pub metrics: Option<L::Metrics>,
    /// What the loop returned on rank 0.
    pub output: L::Output,
    /// The run's folder: `reports.jsonl` holds every rank's reports, `logs/` what they printed. For a run in object storage it
    /// is this machine's copy.
    pub path: PathBuf,
    /// How many reports all ranks made, those before a resume included.
    pub reports: u64,
    /// How often the group was started again.
    pub restarts: u64,
    /// From `fit()` to its end.
    pub duration: Duration,
    /// How long training stood still for checkpoints on rank 0, since the group was started last: while they were written and
    /// committed, or, where they are [asynchronous](crate::trainer::CheckpointConfig::asynchronous), while they were copied
    /// or waited for.
    pub stood_still: Duration,
    /// What rank 0's steps took their time for, since the group was started last: waiting for data, forward, backward,
    /// communication, the optimizer.
    pub step_times: StepTimes,
    pub(super) checkpoints: Checkpoints,
    pub(super) latest: Option<u64>,
    pub(super) best: Option<u64>,
}

/// `outcome.json`.
#[derive(Serialize, Deserialize)]
struct Stored {
    output: Value,
    reports: u64,
    restarts: u64,
    seconds: f64,
    #[serde(default)]
    stood_still_seconds: f64,
    #[serde(default)]
    step_times: StepTimes,
    latest: Option<u64>,
    best: Option<u64>,
}

/// A run whose records are at hand.
struct Opened {
    /// The folder of its records.
    path: PathBuf,
    checkpoints: Checkpoints,
    /// Where it lies.
    shown: String,
}

impl Opened {
    fn find(path: &Path) -> Result<Self> {
        let Some(url) = storage_url(path)? else {
            let path = without_scheme(path);
            let shown = path.display().to_string();
            return Ok(Self { path: path.to_owned(), checkpoints: Checkpoints::in_folder(path), shown });
        };
        // Not where a driver works: it may be at work on this very run.
        let folder = cache_folder(&url)?.join(".opened");
        let run = RunStorage::open(&url, &folder, StorageOptions::default())?;
        if !run.fetch_records()? {
            return Err(Error::config(format!("{url} is no run: it has no run.json")));
        }
        Ok(Self { path: folder, checkpoints: Checkpoints::in_storage(&run), shown: url })
    }
}

impl Stored {
    fn read(path: &Path, shown: &str) -> Result<Self> {
        let file = path.join("outcome.json");
        let text = std::fs::read(&file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::config(format!(
                "the run at {shown} has not ended well yet; run it again under its name, or look at its checkpoints"
            )),
            _ => Error::io("read", &file)(error),
        })?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::config(format!("{} cannot be read: {error}", file.display())))
    }
}

/// The best checkpoint of the run in a folder, or at a URL such as `s3://bucket/runs/digits`, whatever its loop is: for a
/// program that has the net and not the loop. Where the loop is at hand, [`Outcome::open`] has metrics and output, too.
///
/// It is the one that ranks first by the run's score; the newest where there is no score. See
/// [`Checkpoint::load_model`] for what to do with it.
///
/// # Errors
/// [`Error::Config`] where the folder is no run, or one that has not ended well yet. [`Error::Checkpoint`] where the run
/// made no checkpoint, or it is damaged. [`Error::Storage`] where object storage cannot be read.
pub fn best_checkpoint(run: impl AsRef<Path>) -> Result<Checkpoint> {
    let Opened { path, checkpoints, shown } = Opened::find(run.as_ref())?;
    Record::read(&path)?;
    let Some(best) = Stored::read(&path, &shown)?.best else {
        return Err(Error::checkpoint(format!(
            "the run at {shown} made no checkpoint; let its loop call `ctx.report_with`"
        )));
    };
    Checkpoint::from_directory(checkpoints.folder(best)?)
}

impl<L: TrainLoop> Outcome<L> {
    /// Reads the outcome of the run in a folder, or at a URL such as `s3://bucket/runs/digits`.
    ///
    /// # Errors
    /// [`Error::Config`] where the folder is no run, or one of another loop, or one that has not ended well yet.
    /// [`Error::Storage`] where object storage cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let Opened { path, checkpoints, shown } = Opened::find(path.as_ref())?;
        let run = Record::read(&path)?;
        if run.train_loop != L::NAME {
            return Err(Error::config(format!(
                "the run at {shown} is one of `{}`, not of `{}`",
                run.train_loop,
                L::NAME
            )));
        }
        let stored = Stored::read(&path, &shown)?;
        let mut outcome = Self {
            metrics: None,
            output: L::Output::from_record(stored.output)?,
            path,
            checkpoints,
            reports: stored.reports,
            restarts: stored.restarts,
            duration: Duration::try_from_secs_f64(stored.seconds).unwrap_or_default(),
            stood_still: Duration::try_from_secs_f64(stored.stood_still_seconds).unwrap_or_default(),
            step_times: stored.step_times,
            latest: stored.latest,
            best: stored.best,
        };
        outcome.metrics = outcome.history()?.pop();
        Ok(outcome)
    }

    pub(super) fn write(&self, output: &[u8]) -> Result<()> {
        let stored = Stored {
            output: record(output)?,
            reports: self.reports,
            restarts: self.restarts,
            seconds: self.duration.as_secs_f64(),
            stood_still_seconds: self.stood_still.as_secs_f64(),
            step_times: self.step_times,
            latest: self.latest,
            best: self.best,
        };
        let text = serde_json::to_vec_pretty(&stored).map_err(|error| Error::serde("write outcome.json", error))?;
        write_whole(&self.path.join("outcome.json"), &text)
    }

    /// Every report that all ranks made, reduced, in their order.
    ///
    /// # Errors
    /// Where `reports.jsonl` cannot be read.
    pub fn history(&self) -> Result<Vec<L::Metrics>> {
        history::reduced(&self.path.join("reports.jsonl"))
    }

    /// [`history`](Self::history), with every rank's own metrics.
    ///
    /// # Errors
    /// Where `reports.jsonl` cannot be read.
    pub fn history_of_ranks(&self) -> Result<Vec<Ranks<L::Metrics>>> {
        history::rounds(&self.path.join("reports.jsonl"))
    }

    /// The newest checkpoint.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is damaged.
    pub fn latest_checkpoint(&self) -> Result<Option<Checkpoint>> {
        self.checkpoint(self.latest)
    }

    /// The checkpoint that ranks first by the score; the newest where there is no score.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is damaged.
    pub fn best_checkpoint(&self) -> Result<Option<Checkpoint>> {
        self.checkpoint(self.best)
    }

    /// Of the checkpoints that were kept, the one whose metrics have the greatest score; `None` where none came with a
    /// report. Ties go to the newer; infinities and NaN come last, in this order.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Metrics, Serialize, Deserialize, Debug, Clone)] struct Epoch { #[metric(reduce = mean)] val_accuracy: f64 }
    /// # #[train_loop] fn train(ctx: &mut Context<Epoch>) -> Result<()> { Ok(()) }
    /// # fn main() -> Result<()> {
    /// let outcome = Outcome::<train>::open("runs/digits")?;
    /// let best = outcome.best_checkpoint_max(|metrics| metrics.val_accuracy)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is damaged, [`Error::Serde`] where its metrics cannot be read.
    pub fn best_checkpoint_max(&self, score: impl Fn(&L::Metrics) -> f64) -> Result<Option<Checkpoint>> {
        self.best_by(Mode::Max, score)
    }

    /// [`best_checkpoint_max`](Self::best_checkpoint_max), with the least score.
    ///
    /// # Errors
    /// As there.
    pub fn best_checkpoint_min(&self, score: impl Fn(&L::Metrics) -> f64) -> Result<Option<Checkpoint>> {
        self.best_by(Mode::Min, score)
    }

    fn best_by(&self, mode: Mode, score: impl Fn(&L::Metrics) -> f64) -> Result<Option<Checkpoint>> {
        let mut scored = Vec::new();
        for index in self.checkpoints.committed()? {
            let manifest = self.checkpoints.manifest(index)?;
            if !manifest.metrics.is_null() {
                let metrics = L::Metrics::from_record(manifest.metrics)?;
                scored.push(Ranked { index, score: Some(Score(score(&metrics))) });
            }
        }
        self.checkpoint(Retention { keep: None, mode }.best(&scored))
    }

    fn checkpoint(&self, index: Option<u64>) -> Result<Option<Checkpoint>> {
        index.map(|index| Checkpoint::from_directory(self.checkpoints.folder(index)?)).transpose()
    }
}
