//! One generation of a run: the group of workers, or the loop in this process.

use std::path::PathBuf;
use std::rc::Rc;

use tch::Device;

use super::{Origin, Session, retention};
use crate::callback::{Callbacks, MetricsType, RunInfo};
use crate::channel::{Shared, Start, StoreAt};
use crate::controller::{
    self, Beginning, Elastic, End, Ended, Job, Ledger, Milestone, OnCheckpoint, Reduce, Reduced, Reports, record,
};
use crate::error::{BoxError, Error, LoopError, Result, with_causes};
use crate::launch::engine::Meeting;
use crate::launch::{Identity, Spares};
use crate::log;
use crate::metric::{Metrics, Ranks};
use crate::strategy::Strategy;
use crate::tracker::Trackers;
use crate::trainer::driver_events::DriverEvents;
use crate::trainer::in_process::InProcess;
use crate::trainer::registry::TrainLoop;
use crate::trainer::run_state::RunState;
use crate::trainer::{CheckpointConfig, FailureKind, RunFailure, Verbosity};
use crate::worker::{Link, Seat, SeatParts, Stopwatch};

impl<L: TrainLoop> Session<'_, L> {
    pub(super) fn generation(&self, origin: &Origin, run: &RunInfo, spares: &mut Spares) -> Result<End> {
        let RunInfo { generation, world_size, .. } = *run;
        let reduce = reduce_and_report(Rc::clone(&self.events), run.clone(), self.trainer.checkpoint.clone());
        let reports = Reports::open(&self.folder.reports(), world_size, generation, origin.reports, reduce)?;
        let beginning = Beginning {
            checkpoints: self.checkpoints.clone(),
            generation,
            world_size,
            retention: retention(&self.trainer.checkpoint),
            committed: origin.committed.clone(),
            begun_from: origin.checkpoint.as_ref().map(|(index, _)| *index),
        };
        let on_checkpoint: OnCheckpoint = {
            let (events, console, run) = (Rc::clone(&self.events), Rc::clone(&self.console), run.clone());
            Box::new(move |committed, reported| {
                console.detail(|| {
                    let reports = committed.manifest.report;
                    format!("checkpoint {} is committed, after {reports} reports", committed.index)
                });
                events.checkpoint(&run, committed, reported)
            })
        };
        let ledger = Ledger::new(beginning, reports, on_checkpoint);
        let trackers = self.trackers.get().ok_or_else(|| Error::other("the trackers have not been started"))?;
        trackers.rewind(origin.checkpoint.as_ref().map(|(index, _)| *index), origin.reports)?;
        if origin.workers == 0 {
            self.run_here(origin, run, ledger, trackers).map(End::Returned)
        } else {
            self.run_workers(origin, run, ledger, trackers, spares)
        }
    }

    fn run_workers(
        &self,
        origin: &Origin,
        run: &RunInfo,
        ledger: Ledger,
        trackers: &Trackers,
        spares: &mut Spares,
    ) -> Result<End> {
        let text = |path: PathBuf| {
            path.into_os_string()
                .into_string()
                .map_err(|path| Error::config(format!("the path {} is not UTF-8", path.display())))
        };
        let scaling = &self.trainer.scaling;
        let local = self.folder.make_local()?;
        let host = self.host.take();
        let identity = if host.is_some() { Identity::by_content() } else { Identity::of_this_process() }?;
        let (store, shared) = match host.as_ref().map(|host| &host.placement.meeting) {
            Some(Meeting::Nodes { host, .. }) => {
                let shared = self.folder.url().is_none().then(|| Shared::write(local.path())).transpose()?;
                (StoreAt::Here { host: host.clone() }, shared)
            }
            Some(Meeting::OneNode { .. }) | None => (StoreAt::File(text(local.path().join("store"))?), None),
        };
        controller::run(Job {
            children: if host.is_some() { 1 } else { origin.workers },
            host,
            start: Start {
                identity,
                loop_name: L::NAME.to_owned(),
                config: self.config.clone(),
                world_size: origin.workers,
                local_rank: 0,
                generation: run.generation,
                store,
                shared,
                use_gpu: scaling.uses_gpu(),
                backend: scaling.carrier(),
                ddp: L::STRATEGY == Strategy::Ddp,
                collective_timeout_ms: scaling.collective_within().as_millis() as u64,
                heartbeat_ms: scaling.beats().every.as_millis() as u64,
                run_name: self.name.clone(),
                run: text(self.folder.path().to_owned())?,
                storage: self.folder.url().map(str::to_owned),
                checkpoint: origin.checkpoint.as_ref().map(|(index, _)| *index),
                next_checkpoint: origin.next_checkpoint,
                reports: origin.reports,
                every: self.trainer.checkpoint.every(),
                when_busy: self.trainer.checkpoint.when_busy(),
                tracked: !trackers.is_empty(),
                verbose: self.trainer.run.shown() == Verbosity::Verbose,
            },
            start_timeout: scaling.start_within(),
            heartbeat_timeout: scaling.beats().timeout,
            report_timeout: scaling.report_timeout,
            logs: &self.folder.logs(),
            run: self.folder.path(),
            ledger,
            console: &self.console,
            trackers,
            on_milestone: Box::new(|milestone| self.come_to(milestone, run)),
            elastic: scaling
                .slots_file
                .as_deref()
                .map(|file| Elastic { file, resize: Box::new(|| scaling.resized(origin.workers)) }),
            spares,
        })
    }

    /// A group of workers has come to a milestone.
    fn come_to(&self, milestone: Milestone, run: &RunInfo) -> Result<()> {
        // Once a signal has come nothing but the end follows.
        if self.states.current() == Some(RunState::ShuttingDown) {
            return Ok(());
        }
        match milestone {
            Milestone::Running => self.state(run, RunState::Running, "every rank's loop has begun", None),
            Milestone::Stopping { signal } => {
                let why = format!("signal {signal} came; the ranks save and stop");
                self.state(run, RunState::ShuttingDown, why, None)
            }
            Milestone::Resizing { workers } => {
                let why =
                    format!("there is room for {workers} workers; the {} there are save and stop", run.world_size);
                self.state(run, RunState::Resizing, why, None)
            }
            Milestone::Returned => self.state(run, RunState::ShuttingDown, "every rank's loop has returned", None),
        }
    }

    /// `workers(0)`: the loop runs in this process, and a report is a call.
    fn run_here(&self, origin: &Origin, run: &RunInfo, ledger: Ledger, trackers: &Rc<Trackers>) -> Result<Ended> {
        let link = Rc::new(InProcess::new(ledger, Rc::clone(trackers), Rc::clone(&self.console)));
        let stopped = Rc::default();
        let stood_still = Rc::default();
        let stopwatch = Rc::<Stopwatch>::default();
        let seat = Seat::new(SeatParts {
            config: self.config.clone(),
            rank: 0,
            local_rank: 0,
            world_size: 1,
            run_name: self.name.clone(),
            device: if self.trainer.scaling.uses_gpu() { Device::Cuda(0) } else { Device::Cpu },
            ddp: false,
            group: None,
            link: Rc::clone(&link) as Rc<dyn Link>,
            checkpoints: self.checkpoints.clone(),
            checkpoint: origin.checkpoint.as_ref().map(|(_, folder)| folder.clone()),
            next_checkpoint: origin.next_checkpoint,
            reports: origin.reports,
            every: self.trainer.checkpoint.every(),
            when_busy: self.trainer.checkpoint.when_busy(),
            stood_still: Rc::clone(&stood_still),
            tracked: !trackers.is_empty(),
            stopwatch: Rc::clone(&stopwatch),
            callbacks: Callbacks::of_loop(L::NAME, MetricsType::of::<L::Metrics>()),
            stopped: Rc::clone(&stopped),
        });
        self.state(run, RunState::Running, "the loop begins", None)?;
        // Through bytes, as for a worker: what does not survive the way is found here too.
        let result = log::in_this_process(run.generation, || L::call(seat));
        if result.is_ok() {
            self.state(run, RunState::ShuttingDown, "the loop has returned", None)?;
        }
        match result {
            Ok(output) => Ok(Ended {
                output,
                rounds: link.rounds(),
                stood_still: stood_still.get(),
                step_times: stopwatch.times(),
            }),
            Err(error) => match (stopped.get(), link.signal()) {
                (Some(steps), Some(signal)) => {
                    crate::__private::note_interrupt(signal);
                    Err(Error::Interrupted {
                        signal,
                        steps: Some(steps),
                        run: self.folder.path().to_owned(),
                        outcome: None,
                    })
                }
                _ => Err(self.failed_here(run, &link, error)),
            },
        }
    }

    /// The error of a loop in this process, which is told as a worker's would be, unless a callback in the driver made it.
    fn failed_here(&self, run: &RunInfo, link: &InProcess, error: BoxError) -> Error {
        if !link.driver_failed() {
            let failure = RunFailure {
                rank: 0,
                kind: FailureKind::Error(with_causes(error.as_ref())),
                generation: run.generation,
                steps: 0,
                reports: link.rounds(),
                in_start: false,
                also: Vec::new(),
                consequences: Vec::new(),
                activity: Vec::new(),
                backtrace: None,
                not_restarted: None,
                log_tail: Vec::new(),
                log: self.folder.logs(),
                outcome: None,
            };
            self.events.exception(run, &failure);
        }
        match error.downcast::<Error>() {
            Ok(error) if matches!(*error, Error::Callback { .. }) => *error,
            Ok(error) => Error::Loop(LoopError::new(error)),
            Err(error) => Error::Loop(LoopError::new(error)),
        }
    }
}

/// Reduces the reports of all ranks and fires the event.
fn reduce_and_report<M: Metrics>(events: Rc<DriverEvents<M>>, run: RunInfo, checkpoint: CheckpointConfig<M>) -> Reduce {
    Box::new(move |round| {
        let metrics = round.iter().map(|bytes| M::decode(bytes, "read the metrics of a report"));
        let ranks = Ranks::new(metrics.collect::<Result<_>>()?).ok_or_else(|| Error::channel("a report of no rank"))?;
        let reduced = ranks.reduce();
        let shown = record(&reduced.encode("write the reduced metrics")?)?;
        let score = checkpoint.score(&reduced);
        events.report(&run, &ranks, reduced)?;
        Ok(Reduced { shown, score })
    })
}
