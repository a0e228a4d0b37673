//! One `fit`: generations of the group, one after the other, until the loop has ended.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use tch::Device;
use trainloop_checkpoint::{Checkpoints, Mode, Ranked, Retention};

use super::driver_events::DriverEvents;
use super::history;
use super::in_process::InProcess;
use super::policy::checkpoint::{Begin, begin};
use super::policy::failure::{Decision, Failed, FailurePolicy};
use super::registry::TrainLoop;
use super::run_folder::RunFolder;
use super::run_state::{Group, RunState, States};
use super::{CheckpointConfig, FailureKind, Outcome, RunFailure, TorchTrainer, Unfinished};
use crate::callback::{Callbacks, MetricsType, RunInfo};
use crate::channel::{Start, Travels};
use crate::controller::{
    self, Beginning, Ended, Job, Ledger, Milestone, OnCheckpoint, Reduce, Reduced, Reports, record,
};
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
    states: States,
}

/// What a generation begins from.
struct Origin {
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
    fn described(&self) -> String {
        let start = match self.workers {
            0 => "the loop starts in this process".to_owned(),
            1 => "1 worker starts".to_owned(),
            workers => format!("{workers} workers start"),
        };
        match &self.checkpoint {
            None => start,
            Some((index, _)) => format!("{start} from checkpoint {index}"),
        }
    }
}

impl<'a, L: TrainLoop> Session<'a, L> {
    pub(super) fn new(trainer: &'a TorchTrainer<L>, folder: RunFolder, name: String, config: Vec<u8>) -> Result<Self> {
        let console = Rc::new(Console::new(trainer.run.shows_progress(), L::Metrics::fields()));
        // A run that is gone on with and has nothing left to do still has its metrics.
        let last = history::reduced(&folder.reports())?.pop();
        let events = Rc::new(DriverEvents::new(L::NAME, Rc::clone(&console), last));
        let checkpoints = folder.checkpoints();
        let states = States::new(folder.path());
        Ok(Self { trainer, folder, checkpoints, name, config, console, events, states })
    }

    pub(super) fn run(self, began: Instant) -> Result<Outcome<L>> {
        let workers = self.trainer.scaling.next_generation()?;
        let mut run = RunInfo {
            name: self.name.clone(),
            path: self.folder.path().to_owned(),
            world_size: workers.max(1),
            generation: self.folder.next_generation()?,
            restarts: 0,
        };
        let result = self.generations(workers, &mut run).and_then(|ended| self.outcome(&ended, run.restarts, began));
        let result = self.end(&run, result);
        // What was reported since the last checkpoint, and the outcome.
        let result = match (result, self.folder.store()) {
            (Ok(outcome), stored) => stored.map(|()| outcome),
            (Err(error), stored) => {
                self.warn(stored);
                Err(error)
            }
        };
        let so_far = |error: Error| match self.so_far(run.restarts, began) {
            Ok(so_far) => error.with_outcome(so_far),
            Err(other) => {
                self.warn(Err(other));
                error
            }
        };
        self.events.run_end(&run, result).map_err(so_far)
    }

    /// The group, started and started again until the loop has ended or may not be started again.
    fn generations(&self, workers: usize, run: &mut RunInfo) -> Result<Ended> {
        self.state(run, RunState::Initializing, "`fit` was called", None)?;
        let mut origin = self.origin(workers)?;
        self.events.run_start(run)?;
        let mut policy = FailurePolicy::new(self.trainer.run.on_failure());
        loop {
            self.state(run, RunState::Scheduling, origin.described(), None)?;
            let mut failure = match self.generation(&origin, run) {
                Err(Error::Run(failure)) => failure,
                ended_or_error => return ended_or_error,
            };
            self.events.exception(run, &failure);
            let workers = match (policy.decide(self.failed(&failure)?), self.trainer.scaling.next_generation()) {
                (Decision::Restart, Ok(workers)) => workers,
                (Decision::Restart, Err(no_room)) => {
                    failure.not_restarted = Some(no_room.to_string());
                    return Err(Error::Run(failure));
                }
                (Decision::End(why), _) => {
                    failure.not_restarted = why;
                    return Err(Error::Run(failure));
                }
            };
            run.restarts += 1;
            self.console.warning(&format!("{failure}\nthe group starts again (restart {})", run.restarts));
            self.state(run, RunState::Restarting, failure.in_one_line(), Some(failure.rank))?;
            run.generation = self.folder.next_generation()?;
            if workers != origin.workers {
                let why = format!("{} workers instead of {}", workers, origin.workers);
                run.world_size = workers.max(1);
                self.state(run, RunState::Resizing, why, None)?;
            }
            self.events.restart(run, &failure)?;
            origin = self.origin(workers)?;
        }
    }

    /// What the failure policy is to know.
    fn failed(&self, failure: &RunFailure) -> Result<Failed> {
        Ok(Failed {
            kind: failure.kind.clone(),
            in_start: failure.in_start,
            steps: failure.steps,
            reports: failure.reports,
            checkpoint: self.checkpoints.committed()?.into_iter().max(),
            had_begun: self.states.current() != Some(RunState::Scheduling),
            shutting_down: self.states.current() == Some(RunState::ShuttingDown),
        })
    }

    /// Goes over to another state, and tells the callbacks.
    fn state(&self, run: &RunInfo, to: RunState, why: impl Into<String>, rank: Option<usize>) -> Result<()> {
        let group = Group { generation: run.generation, world_size: run.world_size };
        let change = self.states.change(to, group, why, rank)?;
        self.events.state(run, &change)
    }

    /// The last state, by what came of it all.
    fn end(&self, run: &RunInfo, result: Result<Outcome<L>>) -> Result<Outcome<L>> {
        let error = match result {
            Ok(outcome) => {
                self.state(run, RunState::Finished, "the loop returned on every rank", None)?;
                return Ok(outcome);
            }
            Err(error) => error,
        };
        let (to, why, rank) = match &error {
            Error::Interrupted { signal, .. } => (RunState::Aborted, format!("signal {signal} came"), None),
            Error::Run(failure) => (RunState::Errored, failure.in_one_line(), Some(failure.rank)),
            other => (RunState::Errored, with_causes(other), None),
        };
        let group = Group { generation: run.generation, world_size: run.world_size };
        match self.states.change(to, group, why, rank) {
            Ok(change) => self.events.state_of_failure(run, &change),
            Err(other) => self.warn(Err(other)),
        }
        Err(error)
    }

    fn warn(&self, result: Result<()>) {
        if let Err(error) = result {
            self.console.warning(&with_causes(&error));
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

    /// What there is of a run that has not ended well.
    fn so_far(&self, restarts: u64, began: Instant) -> Result<Unfinished> {
        let kept = self.checkpoints.ranked()?;
        Ok(Unfinished {
            path: self.folder.path().to_owned(),
            reports: history::rounds::<L::Metrics>(&self.folder.reports())?.len() as u64,
            restarts,
            duration: began.elapsed(),
            checkpoints: self.checkpoints.clone(),
            latest: kept.iter().map(|ranked| ranked.index).max(),
            best: retention(&self.trainer.checkpoint).best(&kept),
        })
    }

    /// Clears what a crash left, and finds the latest checkpoint that is whole.
    fn origin(&self, workers: usize) -> Result<Origin> {
        for warning in self.checkpoints.sweep()?.warnings {
            self.console.warning(&warning);
        }
        let mut latest = self.checkpoints.latest_whole(&mut |warning| self.console.warning(&warning))?;
        let newest_whole = latest.as_ref().map(|(index, ..)| *index);
        match begin(&self.checkpoints.committed()?, newest_whole) {
            Begin::Refuse => {
                return Err(Error::checkpoint(format!(
                    "every checkpoint of the run at {} is damaged, so there is nothing to go on from; the warnings above \
                     say which files; to begin anew, choose another name",
                    self.folder.shown()
                )));
            }
            Begin::Anew => latest = None,
            Begin::From(_) => {}
        }
        if let Some((index, _, manifest)) = &latest {
            self.console.note(&format!("going on from checkpoint {index}, after {} reports", manifest.report));
        }
        Ok(Origin {
            workers,
            reports: latest.as_ref().map_or(0, |(_, _, manifest)| manifest.report),
            checkpoint: latest.map(|(index, folder, _)| (index, folder)),
            next_checkpoint: self.checkpoints.highest_index()?.map_or(0, |index| index + 1),
            committed: self.checkpoints.ranked()?,
        })
    }

    fn generation(&self, origin: &Origin, run: &RunInfo) -> Result<Ended> {
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
            let (events, run) = (Rc::clone(&self.events), run.clone());
            Box::new(move |committed, reported| events.checkpoint(&run, committed, reported))
        };
        let ledger = Ledger::new(beginning, reports, on_checkpoint);
        if origin.workers == 0 { self.run_here(origin, run, ledger) } else { self.run_workers(origin, run, ledger) }
    }

    fn run_workers(&self, origin: &Origin, run: &RunInfo, ledger: Ledger) -> Result<Ended> {
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
                generation: run.generation,
                store: text(local.path().join("store"))?,
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
            },
            start_timeout: scaling.start_within(),
            heartbeat_timeout: scaling.beats().timeout,
            report_timeout: scaling.report_timeout,
            logs: &self.folder.logs(),
            run: self.folder.path(),
            ledger,
            console: &self.console,
            on_milestone: Box::new(|milestone| self.come_to(milestone, run)),
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
            Milestone::Returned => self.state(run, RunState::ShuttingDown, "every rank's loop has returned", None),
        }
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
        self.state(run, RunState::Running, "the loop begins", None)?;
        // Through bytes, as for a worker: what does not survive the way is found here too.
        let result = L::call(seat);
        if result.is_ok() {
            self.state(run, RunState::ShuttingDown, "the loop has returned", None)?;
        }
        match result {
            Ok(output) => Ok(Ended { output, rounds: link.rounds(), stood_still: stood_still.get() }),
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
            Ok(error) => Error::Other(error),
            Err(error) => Error::Other(error),
        }
    }
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
