//! One `fit`: generations of the group, one after the other, until the loop has ended.

mod generation;

use std::cell::{OnceCell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use trainloop_checkpoint::{Checkpoints, Mode, Ranked, Retention};

use super::driver_events::DriverEvents;
use super::history;
use super::policy::checkpoint::{Begin, begin};
use super::policy::failure::{Decision, Failed, FailurePolicy};
use super::registry::TrainLoop;
use super::run_folder::RunFolder;
use super::run_state::{Group, RunState, States};
use super::{CheckpointConfig, Outcome, RunFailure, StateChange, TorchTrainer, Unfinished, Workers};
use crate::callback::{Resize, RunInfo};
use crate::channel::Travels;
use crate::controller::{End, Ended, record};
use crate::error::{Error, Result, with_causes};
use crate::launch::engine::Engine;
use crate::launch::{Host, Spares};
use crate::log::Console;
use crate::metric::Metrics;
use crate::tracker::Trackers;

pub(super) struct Session<'a, L: TrainLoop> {
    trainer: &'a TorchTrainer<L>,
    folder: RunFolder,
    checkpoints: Checkpoints,
    name: String,
    config: Vec<u8>,
    console: Rc<Console>,
    events: Rc<DriverEvents<L::Metrics>>,
    states: States,
    /// Where an engine has started the ranks: what has started them, and the host until they are in its group.
    engine: Option<Engine>,
    host: RefCell<Option<Host>>,
    trackers: OnceCell<Rc<Trackers>>,
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
    pub(super) fn new(
        trainer: &'a TorchTrainer<L>,
        folder: RunFolder,
        name: String,
        config: Vec<u8>,
        host: Option<Host>,
    ) -> Result<Self> {
        let console = Rc::new(Console::new(trainer.run.shows_progress(), trainer.run.shown(), L::Metrics::fields()));
        // A run that is gone on with and has nothing left to do still has its metrics.
        let last = history::reduced(&folder.reports())?.pop();
        let events = Rc::new(DriverEvents::new(L::NAME, Rc::clone(&console), last));
        let checkpoints = folder.checkpoints();
        let states = States::new(folder.path());
        let engine = host.as_ref().map(|host| host.placement.engine);
        Ok(Self {
            trainer,
            folder,
            checkpoints,
            name,
            config,
            console,
            events,
            states,
            engine,
            host: RefCell::new(host),
            trackers: OnceCell::new(),
        })
    }

    /// An engine's number of ranks counts, whatever number was asked for.
    pub(super) fn warn_of_other_number(&self, asked: Option<Workers>) {
        let started = self.trainer.scaling.asked();
        let other = asked.filter(|asked| asked.least() == asked.most() && *asked != started);
        if let Some((engine, asked)) = self.engine.zip(other) {
            self.console.warning(&format!(
                "{engine} has started {} ranks, and {} workers were asked for; the run has as many as there are ranks",
                started.most(),
                asked.most()
            ));
        }
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
        if let Some(trackers) = self.trackers.get() {
            trackers.finish();
        }
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
        let result = self.events.run_end(&run, result).map_err(so_far);
        if let Ok(outcome) = &result {
            self.show(outcome);
        }
        result
    }

    fn show(&self, outcome: &Outcome<L>) {
        let shown = outcome.metrics.as_ref().map(|metrics| record(&metrics.encode("write the last metrics")?));
        match shown.transpose() {
            Ok(metrics) => self.console.result(&self.name, outcome.reports, &metrics.unwrap_or_default()),
            Err(error) => self.warn(Err(error)),
        }
    }

    /// The group, started and started again until the loop has ended or may not be started again.
    fn generations(&self, workers: usize, run: &mut RunInfo) -> Result<Ended> {
        self.state(run, RunState::Initializing, "`fit` was called", None)?;
        let mut origin = self.origin(workers)?;
        self.start_trackers(run)?;
        self.events.run_start(run)?;
        let mut policy = FailurePolicy::new(self.trainer.run.on_failure());
        let mut spares = Spares::default();
        loop {
            self.state(run, RunState::Scheduling, origin.described(), None)?;
            let scaling = &self.trainer.scaling;
            let starts_again = self.engine.is_none() && (policy.may_restart() || scaling.slots_file.is_some());
            spares.allow(scaling.has_spares() && starts_again);
            let failure = match self.generation(&origin, run, &mut spares) {
                Ok(End::Returned(ended)) => return Ok(ended),
                Ok(End::Stopped) => None,
                Err(Error::Run(failure)) => Some(failure),
                Err(error) => return Err(error),
            };
            let workers = match failure {
                None => self.trainer.scaling.next_generation()?,
                Some(failure) => self.restart(&mut policy, failure, &origin, run)?,
            };
            origin = self.next_origin(workers, &origin, run)?;
        }
    }

    fn start_trackers(&self, run: &RunInfo) -> Result<()> {
        let (given, config) = (&self.trainer.run.trackers, record(&self.config)?);
        let trackers = Trackers::start(given, run, &config, Rc::clone(&self.console))?;
        self.trackers.get_or_init(|| Rc::new(trackers));
        Ok(())
    }

    /// After a failure: with how many workers the group starts again; the failure, if it does not.
    fn restart(
        &self,
        policy: &mut FailurePolicy,
        mut failure: Box<RunFailure>,
        origin: &Origin,
        run: &mut RunInfo,
    ) -> Result<usize> {
        self.events.exception(run, &failure);
        let workers = self.trainer.scaling.next_generation();
        let slots_lost = workers.as_ref().is_ok_and(|workers| *workers < origin.workers);
        let not_restarted = match (policy.decide(&self.failed(&failure, slots_lost)), workers) {
            (Decision::Restart, _) if let Some(engine) = self.engine => Some(format!(
                "{engine} has started the ranks, and starts them again where it is told to; a run of the same name \
                     then goes on from its latest checkpoint"
            )),
            (Decision::Restart, Ok(workers)) => {
                run.restarts += 1;
                self.console.warning(&format!("{failure}\nthe group starts again (restart {})", run.restarts));
                self.state(run, RunState::Restarting, failure.in_one_line(), Some(failure.rank))?;
                let next = RunInfo { generation: run.generation + 1, world_size: workers.max(1), ..run.clone() };
                self.events.restart(&next, &failure)?;
                return Ok(workers);
            }
            (Decision::Restart, Err(no_room)) => Some(no_room.to_string()),
            (Decision::End(why), _) => why,
        };
        failure.not_restarted = not_restarted;
        Err(Error::Run(failure))
    }

    /// What the next generation begins from, with so many workers.
    fn next_origin(&self, workers: usize, before: &Origin, run: &mut RunInfo) -> Result<Origin> {
        run.generation = self.folder.next_generation()?;
        if workers != before.workers {
            run.world_size = workers.max(1);
            if self.states.current() != Some(RunState::Resizing) {
                let why = format!("{workers} workers instead of {}", before.workers);
                self.state(run, RunState::Resizing, why, None)?;
            }
            self.console.note(&format!("the group goes on with {workers} workers instead of {}", before.workers));
            self.events.resize(run, &Resize { from: before.workers, to: workers })?;
        }
        self.origin(workers)
    }

    /// What the failure policy is to know.
    fn failed(&self, failure: &RunFailure, slots_lost: bool) -> Failed {
        // Where they cannot be read, the failure is still what counts.
        let committed = self.checkpoints.committed().unwrap_or_default();
        Failed {
            kind: failure.kind.clone(),
            in_start: failure.in_start,
            steps: failure.steps,
            reports: failure.reports,
            checkpoint: committed.into_iter().max(),
            slots_lost,
            state: self.states.current().unwrap_or(RunState::Initializing),
        }
    }

    /// Goes over to another state, and tells the callbacks.
    fn state(&self, run: &RunInfo, to: RunState, why: impl Into<String>, rank: Option<usize>) -> Result<()> {
        let group = Group { generation: run.generation, world_size: run.world_size };
        let change = self.states.change(to, group, why, rank)?;
        self.tell(&change);
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
            Ok(change) => {
                self.tell(&change);
                self.events.state_of_failure(run, &change);
            }
            Err(other) => self.warn(Err(other)),
        }
        Err(error)
    }

    fn tell(&self, change: &StateChange) {
        self.console.detail(|| {
            let StateChange { generation, world_size, to, why, .. } = change;
            let plural = if *world_size == 1 { "" } else { "s" };
            format!("generation {generation} ({world_size} rank{plural}): {to}: {why}")
        });
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
            step_times: ended.step_times,
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
}

fn retention<M>(config: &CheckpointConfig<M>) -> Retention {
    let mode = match config.maximizes() {
        None => Mode::Newest,
        Some(true) => Mode::Max,
        Some(false) => Mode::Min,
    };
    Retention { keep: config.keep_count(), mode }
}
