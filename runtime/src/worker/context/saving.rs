//! Where a loop saves and stops: `ctx.checkpoint`, `ctx.step`, and the way that a save takes.

use std::rc::Rc;
use std::time::Instant;

use tch::Device;

use super::Context;
use crate::callback::Event;
use crate::channel::Begun;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::log;
use crate::state::{Reader, Saved, TrainState};
use crate::trainer::{Beside, Every};
use crate::worker::activity::{self, Collective};
use crate::worker::agreement::Wish;
use crate::worker::collective::AllReduce;
use crate::worker::link::Answer;
use crate::worker::seat::SeatParts;
use crate::worker::source::{CheckpointSource, Of};
use crate::worker::step_times::Phase;

impl<M> Context<M> {
    /// The checkpoint to begin from: the latest that is committed and whole, or `None` in a new run. One that is damaged is
    /// reported by the driver, and the one before is given.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # #[derive(TrainState)] struct State { #[state(serde)] epoch: u64 }
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// let mut state = State { epoch: 0 };
    /// if let Some(checkpoint) = ctx.checkpoint()? {
    ///     checkpoint.restore(&mut state)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) where its manifest cannot be read.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        log::settle();
        self.beside().checkpoint()
    }

    pub(crate) fn beside(&self) -> Beside {
        Beside {
            checkpoint: self.parts.checkpoint.clone(),
            reader: Reader { rank: self.parts.rank, world_size: self.parts.world_size, device: self.parts.device },
            steps: Rc::clone(&self.steps),
        }
    }

    /// How many steps were counted, those before a restored checkpoint included.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// Counts a training step. Every rank calls it after each step, with the same state: here the run can be stopped
    /// (SIGINT, SIGTERM) and makes checkpoints by itself ([`every_steps`](crate::trainer::CheckpointConfig::every_steps),
    /// [`every_time`](crate::trainer::CheckpointConfig::every_time)), at one step on all ranks.
    ///
    /// The ranks ask each other about every tenth of a second, not at every step. So is a [wish](Self::request_stop) of one
    /// rank to stop agreed by all: [`should_stop`](Self::should_stop) says so from then on.
    ///
    /// # Errors
    /// [`Error::Stopped`](crate::Error::Stopped) where the run is to stop: it is saved, and the loop passes the error on.
    /// Otherwise those of a collective, and of [`report_with`](Self::report_with).
    pub fn step<S: TrainState>(&mut self, state: &S) -> Result<()> {
        log::settle();
        self.announce_stops()?;
        self.poll_save()?;
        self.steps.set(self.steps.get() + 1);
        activity::steps(self.steps.get());
        self.hooks.fire(Event::StepEnd)?;
        let Every { steps, time } = self.parts.every;
        let wish = || Wish {
            stop: self.parts.link.stop_wished(),
            save: time.is_some_and(|time| self.last_save.elapsed() >= time),
            finish: self.hooks.control().is_stop_requested(),
        };
        let group = self.parts.group.as_deref();
        if group.is_some() {
            self.weight.refuse_in_join(Collective::Step)?;
        }
        let Wish { stop, save, finish } = self.agreement.step(wish, self.parts.rank, |values, op| {
            // On the CPU, wherever the model is: four numbers.
            let ask = || activity::within(Collective::Step, || values.all_reduce(group, op, Device::Cpu));
            self.weight.time(Phase::Communication, ask)
        })?;
        if finish && !self.should_stop {
            self.should_stop = true;
            self.hooks.fire(Event::Stop)?;
        }
        if stop || save || steps.is_some_and(|steps| self.steps.get().is_multiple_of(steps)) {
            self.save(None, state, stop)?;
        }
        self.hooks.next_step();
        Ok(())
    }

    /// A checkpoint without a report, at once: otherwise as [`report_with`](Self::report_with), with a state or
    /// [`Files`](crate::worker::Files). Collective: every rank calls it.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train<S: TrainState>(ctx: &mut Context, state: S) -> Result<()> {
    /// ctx.save_state(&state)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`report_with`](Self::report_with).
    pub fn save_state<S: CheckpointSource + ?Sized>(&mut self, source: &S) -> Result<()> {
        self.announce_stops()?;
        self.save(None, source, false)
    }

    /// Wishes that the training ends, as by [early stopping](crate::callback::EarlyStopping): at the next question of
    /// [`step`](Self::step) all ranks agree on it, and [`should_stop`](Self::should_stop) says so on all of them from the same
    /// step on. The loop ends itself then, and returns its value. Any rank may wish, and as often as it likes.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train<S: TrainState>(ctx: &mut Context, state: S) -> Result<()> {
    /// # let loss = 0.5;
    /// for step in 0..10_000 {
    ///     // … train …
    ///     if loss < 0.01 {
    ///         ctx.request_stop();
    ///     }
    ///     ctx.step(&state)?;
    ///     if ctx.should_stop() {
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn request_stop(&self) {
        self.hooks.control().request_stop();
    }

    /// True once the ranks have agreed on a [wish to stop](Self::request_stop), on all of them from the same step on.
    #[must_use]
    pub fn should_stop(&self) -> bool {
        self.should_stop
    }

    /// Says once that this loop can be asked to stop.
    pub(super) fn announce_stops(&mut self) -> Result<()> {
        if !self.can_stop {
            self.can_stop = true;
            self.parts.link.can_stop()?;
        }
        Ok(())
    }

    /// This rank's part of the next checkpoint; returns when it is committed, or, asynchronously, when it is copied.
    pub(super) fn save(
        &mut self,
        report: Option<Vec<u8>>,
        source: &(impl CheckpointSource + ?Sized),
        stop: bool,
    ) -> Result<()> {
        let began = Instant::now();
        let checkpoint = self.next_checkpoint;
        let saved = self.save_now_or_later(report, source, stop);
        let stood_still = began.elapsed();
        tracing::debug!(checkpoint, ?stood_still, saved = saved.is_ok(), "came to a checkpoint");
        self.parts.stood_still.set(self.parts.stood_still.get() + stood_still);
        saved
    }

    fn save_now_or_later(
        &mut self,
        report: Option<Vec<u8>>,
        source: &(impl CheckpointSource + ?Sized),
        stop: bool,
    ) -> Result<()> {
        // All ranks are told the same of the checkpoint before, so they all stop at this one, or none.
        let before = self.saver.make_room()?;
        let stop = stop | self.learn(before)?;
        let checkpoint = self.next_checkpoint;
        self.next_checkpoint += 1;
        let report = report.map(|metrics| (self.reports, metrics));
        self.reports += u64::from(report.is_some());
        self.parts.link.begin(Begun { checkpoint, report, reports: self.reports, steps: self.steps.get() })?;

        let SeatParts { rank, world_size, device, .. } = self.parts;
        let part = source.part(Of(Saved { rank, world_size, steps: self.steps.get(), device }));
        let part = if stop { Err(part) } else { self.saver.save_later(checkpoint, part) };
        let stop = match part {
            Ok(()) => false,
            Err(part) => {
                let answer = self.saver.save(checkpoint, part)?;
                self.learn(Some(answer))? | stop
            }
        };
        self.last_save = Instant::now();
        if stop {
            self.hooks.fire(Event::Stop)?;
            self.parts.stopped.set(Some(self.steps.get()));
            return Err(Error::Stopped);
        }
        Ok(())
    }

    /// Takes in what became of an asynchronous checkpoint, if that is known by now.
    pub(super) fn poll_save(&mut self) -> Result<()> {
        let answer = self.saver.poll()?;
        let stop = self.learn(answer)?;
        self.stop_at_next |= stop;
        Ok(())
    }

    /// Is the loop to stop, by what became of a checkpoint?
    fn learn(&mut self, answer: Option<Answer>) -> Result<bool> {
        let stop = std::mem::take(&mut self.stop_at_next);
        let Some(Answer { checkpoint, failed, stop: stops }) = answer else { return Ok(stop) };
        match failed {
            Some(reason) => Err(Error::checkpoint(format!("checkpoint {checkpoint} was not committed: {reason}"))),
            None => Ok(stop | stops),
        }
    }

    /// At the loop's end: an asynchronous checkpoint is waited for.
    pub(super) fn finish(&mut self) -> Result<()> {
        let began = Instant::now();
        let answer = self.saver.finish()?;
        self.parts.stood_still.set(self.parts.stood_still.get() + began.elapsed());
        self.learn(answer).map(drop)
    }
}
