//! `ctx.log`: values on their way to the trackers.

use serde::Serialize;

use super::Context;
use crate::error::Result;
use crate::log;
use crate::tracker;

impl<M> Context<M> {
    /// Logs values at this step for the run's [trackers](crate::trainer::RunConfig::tracker), which get those of rank 0, as
    /// they are: a mean over ranks comes from [`all_reduce`](Self::all_reduce), or from [`report`](Self::report), which the
    /// trackers get as well. The callbacks on `log` run on every rank, with its own values. What is logged is in no record of
    /// the run and in no checkpoint.
    ///
    /// The values have names: a struct, a map, or pairs. The step is [`steps`](Self::steps), or, in a loop that counts none,
    /// the number of reports.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// # let (loss, lr) = (0.5, 0.1);
    /// ctx.log(&[("train/loss", loss), ("train/lr", lr)])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for values without names; those of a callback; where the driver has gone.
    pub fn log(&self, values: &impl Serialize) -> Result<()> {
        self.log_at(self.now(), values)
    }

    /// [`log`](Self::log) at a step of one's own counting, as Accelerate's `log(values, step=…)`.
    ///
    /// # Errors
    /// Those of [`log`](Self::log).
    pub fn log_at(&self, step: u64, values: &impl Serialize) -> Result<()> {
        log::settle();
        let bytes = tracker::values(values)?;
        self.hooks.log(step, None, &bytes)?;
        if self.rank() == 0 && self.parts.tracked {
            self.parts.link.log(step, bytes)?;
        }
        Ok(())
    }

    /// The step of what is logged now.
    pub(super) fn now(&self) -> u64 {
        tracker::step(self.steps(), self.reports)
    }
}
