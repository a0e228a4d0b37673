//! One `fit`: generations of the group, one after the other, until the loop has ended.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use tch::Device;
use trainloop_checkpoint::{Checkpoints, Mode, Ranked, Retention};

use super::driver_events::DriverEvents;
use super::history;
use super::in_process::InProcess;
use super::registry::TrainLoop;
use super::run_folder::RunFolder;
use super::{CheckpointConfig, FailureKind, Outcome, RunFailure, TorchTrainer};
use crate::callback::{Callbacks, MetricsType, RunInfo};
use crate::channel::{Start, Travels};
use crate::controller::{self, Beginning, Ended, Job, Ledger, OnCheckpoint, Reduce, Reduced, Reports, record};
use crate::error::{BoxError, Error, Result, with_causes};
use crate::launch::Identity;
use crate::log::Console;
use crate::metric::{Metrics, Ranks};
use crate::strategy::Strategy;
use crate::worker::{Link, Seat, SeatParts};

pub(super) struct Session<'a, L: TrainLoop> {
    trainer: &'a TorchTrainer<L>,
    folder: RunFolder,
    checkpoints: Checkpoints,
    name: String,
    config: Vec<u8>,
    console: Rc<Console>,
    events: Rc<DriverEvents<L::Metrics>>,
}

/// What a generation begins from.
struct Origin {
    generation: u64,
    /// 0 where the loop runs in this process.
    workers: usize,
    /// The checkpoint's index and folder.
    checkpoint: Option<(u64, PathBuf)>,
    next_checkpoint: u64,
    /// How many reports were made before.
    reports: u64,
    committed: Vec<Ranked>,
}

impl Origin {
    fn world_size(&self) -> usize {
        self.workers.max(1)
    }
}

impl<'a, L: TrainLoop> Session<'a, L> {
    pub(super) fn new(trainer: &'a TorchTrainer<L>, folder: RunFolder, name: String, config: Vec<u8>) -> Result<Self> {
        let console = Rc::new(Console::new(trainer.run.shows_progress(), L::Metrics::fields()));
        // A run that is gone on with and has nothing left to do still has its metrics.
        let last = history::reduced(&folder.reports())?.pop();
        let events = Rc::new(DriverEvents::new(L::NAME, Rc::clone(&console), last));
        let checkpoints = folder.checkpoints();
        Ok(Self { trainer, folder, checkpoints, name, config, console, events })
    }

    pub(super) fn run(self, began: Instant) -> Result<Outcome<L>> {
        let origin = self.origin()?;
        let mut run = RunInfo {
            name: self.name.clone(),
            path: self.folder.path().to_owned(),
            world_size: origin.world_size(),
            generation: origin.generation,
            restarts: 0,
        };
        let result = self.generations(origin, &mut run).and_then(|ended| self.outcome(&ended, run.restarts, began));
        // What was reported since the last checkpoint, and the outcome.
        let result = match (result, self.folder.store()) {
            (Ok(outcome), stored) => stored.map(|()| outcome),
            (Err(error), stored) => {
                if let Err(other) = stored {
                    self.console.warning(&with_causes(&other));
                }
                Err(error)
            }
        };
        self.events.run_end(&run, result)
    }

    /// One after the other, until the loop has ended or may not be started again.
    fn generations(&self, first: Origin, run: &mut RunInfo) -> Result<Ended> {
        self.events.run_start(run)?;
        let mut origin = first;
        let mut last_failure: Option<(Option<u64>, Box<RunFailure>)> = None;
        loop {
            let checkpoint = origin.checkpoint.as_ref().map(|(index, _)| *index);
            let failure = match self.generation(&origin, run) {
                Err(Error::Run(failure)) => failure,
                ended_or_error => return ended_or_error,
            };
            self.events.exception(run, &failure);
            if !self.trainer.run.on_failure().allows(run.restarts + 1) {
                return Err(Error::Run(failure));
            }
            if let Some((before, last)) = &last_failure
                && *before == checkpoint
                && is_same(last, &failure)
            {
                self.console.warning("the same error came again from the same checkpoint, so there is no further try");
                return Err(Error::Run(failure));
            }
            run.restarts += 1;
            self.console.warning(&format!("{failure}\nthe group starts again (restart {})", run.restarts));
            last_failure = Some((checkpoint, failure));
            origin = self.origin()?;
            run.generation = origin.generation;
            run.world_size = origin.world_size();
        }
    }

    fn outcome(&self, ended: &Ended, restarts: u64, began: Instant) -> Result<Outcome<L>> {
        let retention = retention(&self.trainer.checkpoint);
        let kept = self.checkpoints.ranked()?;
        let outcome = Outcome {
            output: Travels::decode(&ended.output, "read the loop's return value")?,
            reports: ended.rounds,
            metrics: self.events.last(),
            path: self.folder.path().to_owned(),
            checkpoints: self.checkpoints.clone(),
            restarts,
            duration: began.elapsed(),
            stood_still: ended.stood_still,
            latest: kept.iter().map(|ranked| ranked.index).max(),
            best: retention.best(&kept),
        };
        outcome.write(&ended.output)?;
        Ok(outcome)
    }

    /// Clears what a crash left, and finds the latest checkpoint that is whole.
    fn origin(&self) -> Result<Origin> {
        let generation = self.folder.next_generation()?;
        for warning in self.checkpoints.sweep()?.warnings {
            self.console.warning(&warning);
        }
        let latest = self.checkpoints.latest_whole(&mut |warning| self.console.warning(&warning))?;
        if latest.is_none() && !self.checkpoints.committed()?.is_empty() {
            return Err(Error::checkpoint(format!(
                "every checkpoint of the run at {} is damaged, so there is nothing to go on from; the warnings above say \
                 which files; to begin anew, choose another name",
                self.folder.shown()
            )));
        }
        if let Some((index, _, manifest)) = &latest {
            self.console.note(&format!("going on from checkpoint {index}, after {} reports", manifest.report));
        }
        Ok(Origin {
            generation,
            workers: self.trainer.scaling.next_generation()?,
            reports: latest.as_ref().map_or(0, |(_, _, manifest)| manifest.report),
            checkpoint: latest.map(|(index, folder, _)| (index, folder)),
            next_checkpoint: self.checkpoints.highest_index()?.map_or(0, |index| index + 1),
            committed: self.checkpoints.ranked()?,
        })
    }

    fn generation(&self, origin: &Origin, run: &RunInfo) -> Result<Ended> {
        let world_size = origin.world_size();
        let reduce = reduce_and_report(Rc::clone(&self.events), run.clone(), self.trainer.checkpoint.clone());
        let reports = Reports::open(&self.folder.reports(), world_size, origin.generation, origin.reports, reduce)?;
        let beginning = Beginning {
            checkpoints: self.checkpoints.clone(),
            generation: origin.generation,
            world_size,
            retention: retention(&self.trainer.checkpoint),
            committed: origin.committed.clone(),
            begun_from: origin.checkpoint.as_ref().map(|(index, _)| *index),
        };
        let on_checkpoint: OnCheckpoint = {
            let (events, run) = (Rc::clone(&self.events), run.clone());
            Box::new(move |committed, reported| events.checkpoint(&run, committed, reported))
        };
        let ledger = Ledger::new(beginning, reports, on_checkpoint);
        if origin.workers == 0 { self.run_here(origin, run, ledger) } else { self.run_workers(origin, ledger) }
    }

    fn run_workers(&self, origin: &Origin, ledger: Ledger) -> Result<Ended> {
        let text = |path: PathBuf| {
            path.into_os_string()
                .into_string()
                .map_err(|path| Error::config(format!("the path {} is not UTF-8", path.display())))
        };
        let scaling = &self.trainer.scaling;
        let local = self.folder.make_local()?;
        controller::run(Job {
            start: Start {
                identity: Identity::of_this_process()?,
                loop_name: L::NAME.to_owned(),
                config: self.config.clone(),
                world_size: origin.workers,
                local_rank: 0,
                generation: origin.generation,
                store: text(local.path().join("store"))?,
                use_gpu: scaling.uses_gpu(),
                backend: scaling.carrier(),
                ddp: L::STRATEGY == Strategy::Ddp,
                collective_timeout_ms: scaling.collective_within().as_millis() as u64,
                run_name: self.name.clone(),
                run: text(self.folder.path().to_owned())?,
                storage: self.folder.url().map(str::to_owned),
                checkpoint: origin.checkpoint.as_ref().map(|(index, _)| *index),
                next_checkpoint: origin.next_checkpoint,
                reports: origin.reports,
                every: self.trainer.checkpoint.every(),
                when_busy: self.trainer.checkpoint.when_busy(),
            },
            start_timeout: scaling.start_within(),
            logs: &self.folder.logs(),
            run: self.folder.path(),
            ledger,
            console: &self.console,
        })
    }

    /// `workers(0)`: the loop runs in this process, and a report is a call.
    fn run_here(&self, origin: &Origin, run: &RunInfo, ledger: Ledger) -> Result<Ended> {
        let link = Rc::new(InProcess::new(ledger, Rc::clone(&self.console)));
        let stopped = Rc::default();
        let stood_still = Rc::default();
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
            callbacks: Callbacks::of_loop(L::NAME, MetricsType::of::<L::Metrics>()),
            stopped: Rc::clone(&stopped),
        });
        // Through bytes, as for a worker: what does not survive the way is found here too.
        match L::call(seat) {
            Ok(output) => Ok(Ended { output, rounds: link.rounds(), stood_still: stood_still.get() }),
            Err(error) => match (stopped.get(), link.signal()) {
                (Some(steps), Some(signal)) => {
                    crate::__private::note_interrupt(signal);
                    Err(Error::Interrupted { signal, steps: Some(steps), run: self.folder.path().to_owned() })
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
                reports: link.rounds(),
                consequences: Vec::new(),
                log_tail: Vec::new(),
                log: self.folder.logs(),
            };
            self.events.exception(run, &failure);
        }
        match error.downcast::<Error>() {
            Ok(error) if matches!(*error, Error::Callback { .. }) => *error,
            Ok(error) => Error::Other(error),
            Err(error) => Error::Other(error),
        }
    }
}

/// The same error of the loop itself: it will come a third time. A signal, or a process that vanished, may not.
fn is_same(last: &RunFailure, now: &RunFailure) -> bool {
    let of_the_loop = matches!(now.kind, FailureKind::Error(_) | FailureKind::Panic { .. });
    of_the_loop && last.rank == now.rank && last.kind == now.kind && last.reports == now.reports
}

fn retention<M>(config: &CheckpointConfig<M>) -> Retention {
    let mode = match config.maximizes() {
        None => Mode::Newest,
        Some(true) => Mode::Max,
        Some(false) => Mode::Min,
    };
    Retention { keep: config.keep_count(), mode }
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
