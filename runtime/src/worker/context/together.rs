//! What ranks do together besides tensors: values, shares of a list, turns, and triggers.

use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Context;
use crate::c10d::ReduceOp;
use crate::error::{Error, Result, with_causes};
use crate::worker::activity::Collective;
use crate::worker::collective::AllReduce;
use crate::worker::exchange;

impl<M> Context<M> {
    /// The value of rank `from`, on every rank: that rank gives `Some`, and what others give is not looked at. Any value that
    /// serde can write and read. Collective. As `torch.distributed.broadcast_object_list` of one.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// let vocabulary = ctx.on_rank_zero(|_| vec!["a".to_owned(), "b".to_owned()]);
    /// let vocabulary = ctx.broadcast_object(vocabulary, 0)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// On every rank, where there is no rank `from`, it gave `None`, ranks named different ones, or the value cannot be
    /// written; where a rank does not come within the collective timeout, or has gone.
    pub fn broadcast_object<T: Serialize + DeserializeOwned>(&self, value: Option<T>, from: usize) -> Result<T> {
        if from >= self.world_size() {
            return Err(Error::config(format!(
                "broadcast_object from rank {from}: there are {} ranks, which count from 0",
                self.world_size()
            )));
        }
        let value = self.collective(Collective::Objects, |group| {
            let Some(group) = group else { return Ok(value) };
            exchange::agree(group, "broadcast_object", &format!("a value of rank {from}"))?;
            // Whether there is one goes along, so that no rank waits for what is not sent.
            let own = (self.rank() == from).then_some(&value);
            Ok(group.broadcast_object(own, from)?)
        })?;
        value
            .ok_or_else(|| Error::config(format!("broadcast_object: rank {from} has no value; give Some on that rank")))
    }

    /// Every rank's value, in the order of ranks, on every rank. Any value that serde can write and read. Collective. As
    /// Accelerate's `gather_object`, with one value of each rank.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// let hosts: Vec<String> = ctx.gather_object(format!("rank {} on {:?}", ctx.rank(), ctx.device()))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// On every rank, where a value cannot be written, or read as a `T`; where a rank does not come within the collective
    /// timeout, or has gone.
    pub fn gather_object<T: Serialize + DeserializeOwned>(&self, value: T) -> Result<Vec<T>> {
        self.collective(Collective::Objects, |group| {
            if let Some(group) = group {
                exchange::agree(group, "gather_object", std::any::type_name::<T>())?;
            }
            exchange::values(group, value)
        })
    }

    /// This rank's part of a list that all ranks have: neighbours, in the list's order; where it does not divide evenly the
    /// first ranks have one more. No collective. As Accelerate's `split_between_processes`.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// let prompts = ["a dog", "a cat", "a hen"]; // on two ranks the first has two of them
    /// for prompt in ctx.split_between_ranks(&prompts) {
    ///     println!("{prompt}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn split_between_ranks<'a, T>(&self, list: &'a [T]) -> &'a [T] {
        &list[share(list.len(), self.rank(), self.world_size())]
    }

    /// [`split_between_ranks`](Self::split_between_ranks), with as many entries on every rank: shorter parts are filled up with
    /// their last entry, an empty one with the list's, so that results can be [gathered](Self::gather); leave out the
    /// last of them afterwards. Of an empty list, nothing. Accelerate's `apply_padding=True`.
    #[must_use]
    pub fn split_between_ranks_padded<T: Clone>(&self, list: &[T]) -> Vec<T> {
        let mut part = self.split_between_ranks(list).to_vec();
        if let Some(last) = part.last().or(list.last()).cloned() {
            part.resize(list.len().div_ceil(self.world_size()), last);
        }
        part
    }

    /// Runs a closure on every rank: first on local rank 0 of each machine, then, when that has ended, on the others. So the
    /// first can download or prepare what the others then find. Collective. As Accelerate's `local_main_process_first`; on one
    /// machine also its `main_process_first`.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn prepare(_: &str) -> Result<Vec<u8>> { Ok(Vec::new()) }
    /// # fn train(ctx: &mut Context) -> Result<()> {
    /// let data = ctx.main_rank_first(|| prepare("cache/data.bin"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The closure's own, on the rank where it failed; on every other rank [`Error::Peer`] with that rank and its words. Where
    /// a local rank 0 fails, the closure is not run on the others. Where a rank does not come within the collective timeout, or
    /// has gone.
    pub fn main_rank_first<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let is_first = self.parts.local_rank == 0;
        let mut run = Some(run);
        let mut value = None;
        for turn in [true, false] {
            let result = if turn == is_first { run.take().map(|run| run()) } else { None };
            let failed = result.as_ref().and_then(|result| result.as_ref().err()).map(|error| with_causes(error));
            let all = self.collective(Collective::MainRankFirst, |group| exchange::values(group, failed));
            match result {
                // This rank's own error is the one to tell, also where the others have gone.
                Some(Err(error)) => return Err(error),
                Some(Ok(done)) => value = Some(done),
                None => {}
            }
            if let Some((rank, Some(message))) = all?.into_iter().enumerate().find(|(_, failed)| failed.is_some()) {
                return Err(Error::Peer { rank, operation: "main_rank_first", message });
            }
        }
        value.ok_or_else(|| Error::other("main_rank_first ended without a value"))
    }

    /// Sets this rank's trigger, which [`check_trigger`](Self::check_trigger) finds on every rank: for what one rank notices and
    /// all must act on, such as a loss that is NaN. No collective. As Accelerate's `set_trigger`.
    pub fn set_trigger(&self) {
        self.trigger.set(true);
    }

    /// True on every rank if any has [set](Self::set_trigger) its trigger since the last check, which takes all of them back.
    /// Collective. As Accelerate's `check_trigger`.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train(ctx: &mut Context, loss: f64) -> Result<()> {
    /// if !loss.is_finite() {
    ///     ctx.set_trigger();
    /// }
    /// if ctx.check_trigger()? {
    ///     // … on all ranks …
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where a rank does not come within the collective timeout, or has gone.
    pub fn check_trigger(&self) -> Result<bool> {
        let own = i64::from(self.trigger.get());
        let any = self.collective(Collective::Trigger, |group| {
            if let Some(group) = group {
                exchange::agree(group, "check_trigger", "a trigger")?;
            }
            // On the CPU, wherever the model is: one number.
            own.all_reduce(group, ReduceOp::Max, tch::Device::Cpu)
        })?;
        self.trigger.set(false);
        Ok(any != 0)
    }
}

/// The part of `length` entries that falls to one rank.
fn share(length: usize, rank: usize, ranks: usize) -> Range<usize> {
    let (each, over) = (length / ranks, length % ranks);
    let begin = rank * each + rank.min(over);
    begin..begin + each + usize::from(rank < over)
}

#[cfg(test)]
mod tests {
    use super::share;

    /// The parts follow one another, cover the list, and differ by one entry at most.
    #[test]
    fn a_list_falls_into_parts() {
        for length in 0..20 {
            for ranks in 1..6 {
                let parts: Vec<_> = (0..ranks).map(|rank| share(length, rank, ranks)).collect();
                let all: Vec<usize> = parts.iter().cloned().flatten().collect();
                assert_eq!(all, (0..length).collect::<Vec<_>>());
                assert!(parts.windows(2).all(|pair| pair[0].len() >= pair[1].len()));
                assert!(parts[0].len() - parts[ranks - 1].len() <= 1);
            }
        }
    }
}
