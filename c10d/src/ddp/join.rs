//! Ranks with different numbers of inputs.

use tch::Tensor;

use super::{BROADCAST_BYTES, DistributedDataParallel};
use crate::bridge::ffi;
use crate::error::{During, Error, Result};
use crate::process_group::ReduceOp;
use crate::tensors;

/// The options of [`DistributedDataParallel::join`], with PyTorch's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinOptions {
    /// Divide gradients by the number of ranks there are, also where some have run out of inputs: every input weighs the
    /// same. Otherwise by the number of those that still have some.
    pub divide_by_initial_world_size: bool,
    /// Where a rank runs out of inputs before another, an error on every rank, in the same step.
    pub throw_on_early_termination: bool,
}

impl Default for JoinOptions {
    fn default() -> Self {
        Self { divide_by_initial_world_size: true, throw_on_early_termination: false }
    }
}

impl DistributedDataParallel {
    /// Runs a training loop in which ranks have different numbers of inputs. A rank whose `run` has ended takes part in the
    /// other ranks' reductions, with zeros, until theirs have ended too; then every rank gets the parameters and buffers of
    /// the one that went on longest. Without it the others would wait for it in vain. As `torch.distributed.algorithms.Join`.
    ///
    /// Every rank calls it, with the same options, and makes its passes inside `run`. Passes in [`no_sync`](Self::no_sync)
    /// are not counted. Other collectives inside `run` have no stand-in.
    ///
    /// ```no_run
    /// # fn example(
    /// #     ddp: &trainloop_c10d::DistributedDataParallel,
    /// #     inputs: &[tch::Tensor],
    /// #     step: impl Fn(&tch::Tensor) -> trainloop_c10d::Result<()>,
    /// # ) -> trainloop_c10d::Result<()> {
    /// use trainloop_c10d::JoinOptions;
    ///
    /// ddp.join(JoinOptions::default(), || inputs.iter().try_for_each(|input| step(input)))
    /// # }
    /// ```
    ///
    /// # Errors
    /// `run`'s own, at once: the other ranks get an error when this one leaves the group. [`Error::Argument`] inside another
    /// `join`, or with a static graph; [`Error::Desynchronised`] for an early end, where the options say so; the errors of
    /// collectives.
    pub fn join<T, E: From<Error>>(&self, options: JoinOptions, run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        const OPERATION: &str = "DistributedDataParallel::join";
        if self.options.static_graph {
            return Err(Error::argument(
                OPERATION,
                "a static graph's first pass cannot be stood in for; leave out `DdpOptions::static_graph`",
            )
            .into());
        }
        if self.joining.get().is_some() {
            return Err(Error::argument(OPERATION, "this is inside another `join`; one is enough").into());
        }
        let result = {
            let _joining = Joining::new(self, options);
            run()?
        };
        self.stand_in(options)?;
        Ok(result)
    }

    /// Before a pass of this rank's inside `run`; gives the rank whose buffers count.
    pub(super) fn announce(&self, options: JoinOptions, operation: &'static str) -> Result<usize> {
        let wait = options.throw_on_early_termination;
        let active = self
            .reducer
            .announce_input(self.group.bridge(), options.divide_by_initial_world_size, wait)
            .during(operation)?;
        if wait && active < self.group.world_size() as i64 {
            return Err(self.ended_early(operation, "it has inputs left", active));
        }
        if self.syncs_buffers() { Ok(self.highest(true)?.unwrap_or_default()) } else { Ok(0) }
    }

    /// What a rank does whose `run` has ended.
    fn stand_in(&self, options: JoinOptions) -> Result<()> {
        const OPERATION: &str = "DistributedDataParallel::join";
        let mut is_last = true;
        loop {
            let active = self.reducer.count_inputs(self.group.bridge()).during(OPERATION)?;
            if active == 0 {
                break;
            }
            if options.throw_on_early_termination {
                return Err(self.ended_early(OPERATION, "it has none left", active));
            }
            is_last = false;
            if self.syncs_buffers() {
                let root = self.highest(false)?.unwrap_or_default();
                self.broadcast_buffers(root, OPERATION)?;
            }
            self.reducer.shadow_backward(self.group.bridge(), self.options.find_unused_parameters).during(OPERATION)?;
        }
        let root = self.highest(is_last)?.unwrap_or_default();
        let all = tensors::list(self.parameters.iter().chain(&self.buffers));
        ffi::broadcast_coalesced(self.group.bridge(), &all, BROADCAST_BYTES, root as i32).during(OPERATION)
    }

    fn ended_early(&self, operation: &'static str, own: &str, active: i64) -> Error {
        let (rank, world_size) = (self.group.rank(), self.group.world_size());
        Error::Desynchronised {
            operation,
            message: format!(
                "only {active} of {world_size} ranks have inputs left, says rank {rank}: {own}; give every rank the same \
                 number, or leave out `JoinOptions::throw_on_early_termination`"
            ),
        }
    }

    /// The highest of the ranks that say so.
    fn highest(&self, own: bool) -> Result<Option<usize>> {
        let mut rank = Tensor::from_slice(&[if own { self.group.rank() as i64 } else { -1 }]);
        self.group.all_reduce(&mut rank, ReduceOp::Max)?;
        let rank = rank.f_int64_value(&[0]).during("DistributedDataParallel::join")?;
        Ok(usize::try_from(rank).ok())
    }
}

/// While `run` runs, also where it panics.
struct Joining<'a>(&'a DistributedDataParallel);

impl<'a> Joining<'a> {
    fn new(ddp: &'a DistributedDataParallel, options: JoinOptions) -> Self {
        ddp.joining.set(Some(options));
        Self(ddp)
    }
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        self.0.joining.set(None);
        // Else the passes that follow would be divided by what the last one of `run` counted. A setter, which does not fail.
        drop(self.0.reducer.end_join());
    }
}
