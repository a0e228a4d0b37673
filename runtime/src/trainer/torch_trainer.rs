//! `TorchTrainer`: a train loop, its config, and where it is to run.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use tch::Device;

use super::registry::{TrainLoop, find};
use super::run_folder::{Record, RunFolder, default_name, unix_now};
use super::{Outcome, RunConfig, ScalingConfig};
use crate::channel::{Start, decode, encode};
use serde_json::Value;

use crate::controller::{self, Ended, Job, Reduce, Reports, record};
use crate::error::{Error, Result};
use crate::log::Console;
use crate::metric::{Metrics, Ranks};
use crate::strategy::Strategy;
use crate::worker::{Context, Link, Seat, SeatParts};

/// Runs a train loop: `TorchTrainer::<train>::new(config)`, where `train` is the function with `#[train_loop]`.
///
/// See the [crate's example](crate).
#[derive(Debug, Clone)]
#[must_use = "a trainer does nothing until `fit` is called"]
pub struct TorchTrainer<L: TrainLoop> {
    config: L::Config,
    pub(crate) scaling: ScalingConfig,
    pub(crate) run: RunConfig,
}

impl<L: TrainLoop> TorchTrainer<L> {
    /// A run of `L` with this config, in the calling process until [`scaling`](Self::scaling) says otherwise.
    pub fn new(config: L::Config) -> Self {
        Self { config, scaling: ScalingConfig::default(), run: RunConfig::default() }
    }

    /// How many workers, on what.
    pub fn scaling(mut self, scaling: ScalingConfig) -> Self {
        self.scaling = scaling;
        self
    }

    /// Where the run is kept, and under what name.
    pub fn run(mut self, run: RunConfig) -> Self {
        self.run = run;
        self
    }

    /// Runs the loop to its end.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Io`] for what can be known before a worker starts, such as GPUs that are not there or
    /// a storage that cannot be written: then nothing is left behind. [`Error::Run`] with the first rank that failed, its
    /// error and the end of its log. [`Error::Interrupted`] after SIGINT or SIGTERM. No worker is left in any case.
    pub fn fit(self) -> Result<Outcome<L>> {
        let began = Instant::now();
        self.validate()?;
        let config = encode(&self.config, "write the config for the workers")?;
        let name = self.run.name.clone().unwrap_or_else(|| default_name(L::NAME));
        let folder = RunFolder::create(&self.run.storage, &name)?;
        let prepared = folder.write_record(&Record {
            format: 1,
            train_loop: L::NAME,
            workers: self.scaling.workers,
            started_unix: unix_now() as u64,
            trainloop: env!("CARGO_PKG_VERSION"),
            config: &self.config,
        });
        if let Err(error) = prepared {
            folder.discard();
            return Err(error);
        }

        let last = Rc::new(RefCell::new(None));
        let reports =
            Reports::create(&folder.reports(), self.scaling.workers.max(1), 1, reduce_into(Rc::clone(&last)))?;
        let console = Console::new(self.run.progress);
        let ended = if self.scaling.workers == 0 {
            self.run_here(config, name, reports, console)?
        } else {
            self.run_workers(config, name, &folder, reports, console)?
        };
        Ok(Outcome {
            output: decode(&ended.output, "read the loop's return value")?,
            reports: ended.rounds,
            metrics: last.take(),
            path: folder.path().to_owned(),
            restarts: 0,
            duration: began.elapsed(),
        })
    }

    /// Everything that can be known before a worker starts.
    fn validate(&self) -> Result<()> {
        self.scaling.validate()?;
        self.run.validate()?;
        if crate::worker::invitation().is_some() {
            return Err(Error::config(
                "`fit` was called in a worker process: `main` is not annotated, so the worker ran its body; write \
                 `#[trainloop::main]` above `fn main`",
            ));
        }
        if self.scaling.workers == 0 {
            return Ok(());
        }
        if !crate::__private::main_is_ours() {
            return Err(Error::config(
                "workers are started by executing this binary again, and its `main` is not annotated; write \
                 `#[trainloop::main]` above `fn main`, or run in this process with `ScalingConfig::workers(0)`",
            ));
        }
        if self.scaling.workers > 1 && L::STRATEGY == Strategy::Single {
            return Err(Error::config(format!(
                "`{}` has `strategy = single`, which is for one worker, and {} are asked for; use `strategy = ddp`",
                L::NAME,
                self.scaling.workers
            )));
        }
        if find(L::NAME).is_none() {
            return Err(Error::config(format!("the train loop `{}` is not registered in this binary", L::NAME)));
        }
        Ok(())
    }

    fn run_workers(
        &self,
        config: Vec<u8>,
        run_name: String,
        folder: &RunFolder,
        reports: Reports,
        console: Console,
    ) -> Result<Ended> {
        let local = folder.make_local()?;
        let store = local.path().join("store");
        let store = store
            .to_str()
            .ok_or_else(|| Error::config(format!("the storage {} is not UTF-8", folder.path().display())))?;
        controller::run(Job {
            start: Start {
                loop_name: L::NAME.to_owned(),
                config,
                world_size: self.scaling.workers,
                local_rank: 0,
                generation: 1,
                store: store.to_owned(),
                use_gpu: self.scaling.use_gpu,
                ddp: L::STRATEGY == Strategy::Ddp,
                collective_timeout_ms: self.scaling.collective_timeout.as_millis() as u64,
                run_name,
            },
            start_timeout: self.scaling.start_timeout,
            logs: &folder.logs(),
            run: folder.path(),
            reports,
            console,
        })
    }

    /// `workers(0)`: the loop runs in this process, and a report is a call.
    fn run_here(&self, config: Vec<u8>, run_name: String, reports: Reports, console: Console) -> Result<Ended> {
        let link = Rc::new(InProcess { reports: RefCell::new(reports), console });
        let seat = Seat::new(SeatParts {
            config,
            rank: 0,
            local_rank: 0,
            world_size: 1,
            run_name,
            device: if self.scaling.use_gpu { Device::Cuda(0) } else { Device::Cpu },
            ddp: false,
            group: None,
            link: Rc::clone(&link) as Rc<dyn Link>,
        });
        // Through bytes, as for a worker: what does not survive the way is found here too.
        let config = seat.config()?;
        let output = L::call(&mut Context::new(seat), config).map_err(Error::Other)?;
        let rounds = link.reports.borrow().rounds();
        Ok(Ended { output: encode(&output, "write the loop's return value")?, rounds })
    }
}

/// Keeps the last round's reduced metrics in `last`.
fn reduce_into<M: Metrics>(last: Rc<RefCell<Option<M>>>) -> Reduce {
    Box::new(move |round| {
        let metrics = round.iter().map(|bytes| decode::<M>(bytes, "read the metrics of a report"));
        let Some(ranks) = Ranks::new(metrics.collect::<Result<_>>()?) else { return Ok(Value::Null) };
        let reduced = ranks.reduce();
        let shown = record(&encode(&reduced, "write the reduced metrics")?)?;
        *last.borrow_mut() = Some(reduced);
        Ok(shown)
    })
}

/// The link of a loop in the driver's own process.
struct InProcess {
    reports: RefCell<Reports>,
    console: Console,
}

impl Link for InProcess {
    fn report(&self, index: u64, metrics: Vec<u8>) -> Result<()> {
        let mut reports = self.reports.borrow_mut();
        if let Some((index, reduced)) = reports.add(0, index, metrics)? {
            self.console.report(index, &reduced);
        }
        reports.flush()
    }

    fn progress(&self, done: u64, total: u64) {
        self.console.progress(done, total);
    }
}
