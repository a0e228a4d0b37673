//! `TorchTrainer`: a train loop, its config, and where it is to run.

use std::time::Instant;

use trainloop_checkpoint::{is_within_process, storage_url};

use super::registry::{self, TrainLoop};
use super::run_folder::{Record, RunFolder, default_name};
use super::session::Session;
use super::{CheckpointConfig, Outcome, RunConfig, ScalingConfig};
use crate::callback::{self, MetricsType};
use crate::channel::Travels;
use crate::controller::record;
use crate::error::{Error, Result};
use crate::launch::Host;
use crate::metric::Metrics;
use crate::strategy::Strategy;

/// Runs a train loop: `TorchTrainer::<train>::new(config)`, where `train` is the function with `#[train_loop]`.
///
/// See the [crate's example](crate).
#[derive(Debug, Clone)]
#[must_use = "a trainer does nothing until `fit` is called"]
pub struct TorchTrainer<L: TrainLoop> {
    pub(super) config: L::Config,
    pub(crate) scaling: ScalingConfig,
    pub(crate) run: RunConfig,
    pub(super) checkpoint: CheckpointConfig<L::Metrics>,
}

impl<L: TrainLoop> TorchTrainer<L> {
    /// A run of `L` with this config, as the loop's attribute says: its options are the defaults of what follows.
    pub fn new(config: L::Config) -> Self {
        Self { config, scaling: L::scaling(), run: L::run(), checkpoint: L::checkpoint() }
    }

    /// How many workers, on what; what it does not say stays as it was.
    pub fn scaling(mut self, scaling: ScalingConfig) -> Self {
        self.scaling = scaling.over(&self.scaling);
        self
    }

    /// Where the run is kept, and under what name; what it does not say stays as it was.
    pub fn run(mut self, run: RunConfig) -> Self {
        self.run = run.over(self.run);
        self
    }

    /// Which checkpoints are kept, and when one is made by itself; what it does not say stays as it was.
    pub fn checkpoint(mut self, checkpoint: CheckpointConfig<L::Metrics>) -> Self {
        self.checkpoint = checkpoint.over(self.checkpoint);
        self
    }

    /// Runs the loop to its end. Where the storage has a run of this name, it is gone on with from its latest checkpoint.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Io`] for what can be known before a worker starts, such as GPUs that are not there, a
    /// storage that cannot be written, a callback that fits no loop, or a run of this name with another config: then nothing
    /// is left behind; [`Error::C10d`] where the program runs with another libtorch than it was compiled for.
    /// [`Error::Callback`] where a callback in the driver fails.
    /// [`Error::Run`] with the first rank that failed, its error and the end of its log, once no restart is allowed any
    /// more. [`Error::Interrupted`] after SIGINT or SIGTERM. With `workers(0)` the loop's own error is
    /// [`Error::Loop`]. These four have what there is of the run: [`Error::outcome`]. No worker is left in any case.
    pub fn fit(mut self) -> Result<Outcome<L>> {
        let began = Instant::now();
        crate::__private::note_interrupt(0);
        let host = Host::take()?;
        let asked = self.scaling.workers;
        if let Some(host) = &host {
            self.scaling = self.scaling.under(&host.placement)?;
        }
        self.validate()?;
        let config = self.config.encode("write the config for the workers")?;
        let name = self.run.name.clone().unwrap_or_else(|| default_name(L::NAME));
        let about = Record::new(L::NAME, record(&config)?, L::Metrics::fields());
        let folder = RunFolder::open(self.run.folder_of_runs(), &name, self.run.on_existing(), &about)?;
        let session = Session::new(&self, folder, name, config, host)?;
        session.warn_of_other_number(asked);
        session.run(began)
    }

    /// Everything that can be known before a worker starts.
    fn validate(&self) -> Result<()> {
        trainloop_c10d::check_libtorch()?;
        self.scaling.validate()?;
        self.run.validate()?;
        self.checkpoint.validate()?;
        if crate::worker::invitation().is_some() {
            return Err(Error::config(
                "`fit` was called in a worker process: `main` is not annotated, so the worker ran its body; write \
                 `#[trainloop::main]` above `fn main`",
            ));
        }
        crate::log::check_filter()?;
        registry::check()?;
        callback::check(L::NAME, MetricsType::of::<L::Metrics>())?;
        let url = storage_url(self.run.folder_of_runs())?;
        if self.scaling.asked().most() == 0 {
            return Ok(());
        }
        if let Some(url) = url.filter(|url| is_within_process(url)) {
            return Err(Error::config(format!(
                "the storage {url} is the memory of one process, which workers cannot see; use a folder or a bucket, or run \
                 in this process with `ScalingConfig::workers(0)`"
            )));
        }
        if !crate::__private::main_is_ours() {
            return Err(Error::config(
                "workers are started by executing this binary again, and its `main` is not annotated; write \
                 `#[trainloop::main]` above `fn main`, or run in this process with `ScalingConfig::workers(0)`",
            ));
        }
        if self.scaling.asked().most() > 1 && L::STRATEGY == Strategy::Single {
            return Err(Error::config(format!(
                "`{}` has `strategy = single`, which is for one worker, and {} are asked for; use `strategy = ddp`",
                L::NAME,
                self.scaling.asked().most()
            )));
        }
        registry::find(L::NAME).map(|_| ())
    }
}
