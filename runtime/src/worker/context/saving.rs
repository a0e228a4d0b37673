//! Where a loop saves and stops: `ctx.checkpoint`, `ctx.step`, and the way that a save takes.

use std::rc::Rc;
use std::time::Instant;

use tch::Device;

use super::Context;
use crate::channel::Begun;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::state::{Reader, Saved, TrainState};
use crate::trainer::{Beside, Every};
use crate::worker::agreement::Wish;
use crate::worker::collective::AllReduce;
use crate::worker::link::Answer;
use crate::worker::seat::SeatParts;
use crate::worker::source::{CheckpointSource, Of};

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
    /// The ranks ask each other about every tenth of a second, not at every step.
    ///
    /// # Errors
    /// [`Error::Stopped`](crate::Error::Stopped) where the run is to stop: it is saved, and the loop passes the error on.
    /// Otherwise those of a collective, and of [`report_with`](Self::report_with).
    pub fn step<S: TrainState>(&mut self, state: &S) -> Result<()> {
        self.announce_stops()?;
        self.poll_save()?;
        self.steps.set(self.steps.get() + 1);
        let Every { steps, time } = self.parts.every;
        let wish = || Wish {
            stop: self.parts.link.stop_wished(),
            save: time.is_some_and(|time| self.last_save.elapsed() >= time),
        };
        let group = self.parts.group.as_deref();
        let Wish { stop, save } = self.agreement.step(wish, self.parts.rank, |values, op| {
            // On the CPU, wherever the model is: three numbers.
            values.all_reduce(group, op, Device::Cpu)
        })?;
        if stop || save || steps.is_some_and(|steps| self.steps.get().is_multiple_of(steps)) {
            self.save(None, state, stop)?;
        }
        Ok(())
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
        let saved = self.save_now_or_later(report, source, stop);
        self.parts.stood_still.set(self.parts.stood_still.get() + began.elapsed());
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
        self.parts.link.begin(Begun { checkpoint, report, reports: self.reports })?;

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
    pub(crate) fn finish(&mut self) -> Result<()> {
        let began = Instant::now();
        let answer = self.saver.finish()?;
        self.parts.stood_still.set(self.parts.stood_still.get() + began.elapsed());
        self.learn(answer).map(drop)
    }
}
