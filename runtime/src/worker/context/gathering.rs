//! Tensors from all ranks: `ctx.gather` and its kin.

use tch::{Kind, Tensor};

use super::Context;
use crate::c10d::{ProcessGroup, ReduceOp};
use crate::data::{Batch, GlobalBatch};
use crate::error::{Error, Result};
use crate::worker::activity::Collective;
use crate::worker::collective::AllReduce;
use crate::worker::exchange;
use crate::worker::tensors::Tensors;

impl<M> Context<M> {
    /// Every rank's tensors, one after the other along the first dimension, in the order of ranks, on every rank: of n ranks'
    /// `[k, …]` one `[n × k, …]`, of single numbers a list `[n]`. All have one shape and dtype; where lengths differ,
    /// [`pad_across_ranks`](Self::pad_across_ranks) first. Collective. As Accelerate's `gather`. The results have no history.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train(ctx: &mut Context, loss: tch::Tensor, logits: tch::Tensor, labels: tch::Tensor) -> Result<()> {
    /// let losses = ctx.gather(&loss)?;                          // [world size]
    /// let (logits, labels) = ctx.gather((&logits, &labels))?;   // any nesting of tuples, vectors, options and maps
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// On every rank, naming the ranks, where they differ in the number of tensors, a shape or a dtype; where a rank does not
    /// come within the collective timeout, or has gone.
    pub fn gather<T: Tensors>(&self, tensors: T) -> Result<T::Owned> {
        self.collective(Collective::Gather, |group| {
            if let Some(group) = group {
                exchange::agree(group, "gather", &exchange::layouts(&tensors))?;
            }
            tensors.map(&mut |tensor| gathered(group, tensor))
        })
    }

    /// [`gather`](Self::gather) of what a net made of a batch of a prepared loader: exactly as many samples as there are, in
    /// the epoch's order; of a stream, rank after rank. What an uneven last batch was filled up with, stand-ins and
    /// [padding](crate::data::Tail::Pad), is left out, so that 82 samples on two ranks are 82. The first dimension of each
    /// tensor counts the batch's samples. Collective. As Accelerate's `gather_for_metrics`.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train<D: Dataset<Batch = (tch::Tensor, tch::Tensor)>>(
    /// #     ctx: &mut Context, held_out: DataLoader<D>, model: Model<tch::nn::Linear>,
    /// # ) -> Result<()> {
    /// let (mut right, mut samples) = (0.0, 0);
    /// for batch in held_out.epoch(0)? {
    ///     let batch = batch?;
    ///     let (inputs, labels) = &*batch;
    ///     let guess = tch::no_grad(|| model.call(|net| inputs.apply(net)))?.argmax(-1, false);
    ///     let (guess, labels) = ctx.gather_for_metrics(&batch, (&guess, labels))?;
    ///     right += guess.eq_tensor(&labels).sum(tch::Kind::Double).double_value(&[]);
    ///     samples += labels.size()[0];
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// On every rank, where a rank's tensor has another number of rows than its share of the batch has samples, the ranks'
    /// batches are not shares of one, or the loader was not [prepared](Self::prepare_data_loader); those of
    /// [`gather`](Self::gather).
    pub fn gather_for_metrics<B, T: Tensors>(&self, batch: &Batch<B>, tensors: T) -> Result<T::Owned> {
        const OPERATION: &str = "gather_for_metrics";
        // A stand-in is one sample.
        let rows = batch.samples().max(1);
        let global = batch.global();
        self.collective(Collective::Gather, |group| {
            let of_a_row = |tensor: &Tensor| match tensor.size().split_first() {
                Some((&first, rest)) if first == rows as i64 => {
                    format!("{} for each sample", exchange::layout(tensor, rest))
                }
                _ => format!("{} for {rows} samples", exchange::layout(tensor, &tensor.size())),
            };
            let number = batch.index();
            let what = exchange::words(&tensors, of_a_row);
            if let Some(group) = group {
                let of = match global {
                    Some(GlobalBatch { samples, ranks, first_rank, longest }) => {
                        format!("of {samples} ({longest} × {ranks} from rank {first_rank})")
                    }
                    None => "of a stream".to_owned(),
                };
                exchange::agree(group, OPERATION, &format!("batch {number} {of}: {what}"))?;
            }
            if let Some(global) = global.filter(|global| global.ranks != self.world_size()) {
                return Err(Error::config(format!(
                    "the batch is that of a loader for {} ranks, and there are {}; have the loader prepared by \
                     `ctx.prepare_data_loader`",
                    global.ranks,
                    self.world_size()
                )));
            }
            let shares = match global {
                Some(_) => Vec::new(),
                None => exchange::values(group, batch.samples())?,
            };
            tensors.map(&mut |tensor| {
                if tensor.size().first() != Some(&(rows as i64)) {
                    return Err(Error::config(format!(
                        "{OPERATION} was given {what}; give tensors whose first dimension counts the batch's samples"
                    )));
                }
                match global {
                    Some(global) => gathered_samples(group, tensor, global),
                    None => gathered_shares(group, tensor, &shares),
                }
            })
        })
    }

    /// Every rank's tensors with as many entries along one dimension as the longest of them has, so that they can be
    /// [gathered](Self::gather). Collective. As Accelerate's `pad_across_processes`.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # use trainloop::worker::Padding;
    /// # fn train(ctx: &mut Context, tokens: tch::Tensor) -> Result<()> {
    /// let tokens = ctx.pad_across_ranks(&tokens, Padding::of_dim(1).value(-100.0))?;
    /// let all = ctx.gather(&tokens)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// On every rank, where a tensor lacks the dimension, the ranks' differ in another one or in dtype, or the ranks gave
    /// other paddings; [`Error::Config`] where the value is none of the tensors' dtype.
    pub fn pad_across_ranks<T: Tensors>(&self, tensors: T, padding: Padding) -> Result<T::Owned> {
        let mut own: Vec<(String, Vec<i64>)> = Vec::new();
        tensors.visit(&mut |tensor| own.push((format!("{:?}", tensor.kind()), tensor.size())));
        self.collective(Collective::Gather, |group| {
            if let Some(group) = group {
                let kinds =
                    exchange::words(&tensors, |tensor| format!("{:?} of {} dimensions", tensor.kind(), tensor.dim()));
                exchange::agree(group, "pad_across_ranks", &format!("{kinds}, {padding}"))?;
            }
            let all = exchange::values(group, own)?;
            let lengths = padding.lengths(&all)?;
            let mut lengths = lengths.into_iter();
            tensors.map(&mut |tensor| padding.fill(tensor, lengths.next().unwrap_or_default()))
        })
    }

    /// The combination of all ranks' tensors, element by element, on every rank. As [`all_reduce`](Self::all_reduce), of any
    /// nesting of tensors, and compared before; Accelerate's `reduce`. Collective.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn train(ctx: &mut Context, loss: tch::Tensor) -> Result<()> {
    /// let loss = ctx.reduce(&loss, ReduceOp::Mean)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`gather`](Self::gather); where the operation is none for the dtype, such as the mean of whole numbers.
    pub fn reduce<T: Tensors>(&self, tensors: T, op: ReduceOp) -> Result<T::Owned> {
        self.collective(Collective::Reduce, |group| {
            if let Some(group) = group {
                exchange::agree(group, "reduce", &format!("{} by {op:?}", exchange::layouts(&tensors)))?;
            }
            tensors.map(&mut |tensor| tensor.shallow_clone().all_reduce(group, op, self.parts.device))
        })
    }
}

fn gathered(group: Option<&ProcessGroup>, tensor: &Tensor) -> Result<Tensor> {
    let tensor = tensor.f_detach()?;
    match group {
        Some(group) => Ok(group.all_gather_into_tensor(&tensor)?),
        None if tensor.dim() == 0 => Ok(tensor.f_view([1])?),
        None => Ok(tensor),
    }
}

/// The samples of all ranks' shares, in the epoch's order.
fn gathered_samples(group: Option<&ProcessGroup>, tensor: &Tensor, global: GlobalBatch) -> Result<Tensor> {
    let GlobalBatch { samples, ranks, first_rank, longest } = global;
    let Some(group) = group else { return Ok(tensor.f_detach()?.f_narrow(0, 0, samples as i64)?) };
    let filled = filled_to(&tensor.f_detach()?, 0, longest as i64, 0.0, false)?;
    let all = group.all_gather(&filled)?;
    // The first rank's first sample, the next rank's first, …, the first rank's second, ….
    let turned: Vec<&Tensor> = (0..ranks).map(|place| &all[(first_rank + place) % ranks]).collect();
    let interleaved = Tensor::f_stack(&turned, 1)?.f_flatten(0, 1)?;
    Ok(interleaved.f_narrow(0, 0, samples as i64)?)
}

/// The samples of all ranks, of which each has so many, rank after rank.
fn gathered_shares(group: Option<&ProcessGroup>, tensor: &Tensor, shares: &[usize]) -> Result<Tensor> {
    let longest = shares.iter().copied().max().unwrap_or(0).max(1);
    let filled = filled_to(&tensor.f_detach()?, 0, longest as i64, 0.0, false)?;
    let all = match group {
        Some(group) => group.all_gather(&filled)?,
        None => vec![filled],
    };
    let own = all.iter().zip(shares).map(|(rows, &share)| rows.f_narrow(0, 0, share as i64));
    Ok(Tensor::f_cat(&own.collect::<Result<Vec<_>, _>>()?, 0)?)
}

/// How [`Context::pad_across_ranks`] fills up: along which dimension, with what, at which end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Padding {
    dim: usize,
    value: f64,
    first: bool,
}

impl Padding {
    /// Along dimension `dim`, from 0; with zeros, at the end, unless said otherwise.
    #[must_use]
    pub fn of_dim(dim: usize) -> Self {
        Self { dim, value: 0.0, first: false }
    }

    /// What is filled in.
    #[must_use]
    pub fn value(mut self, value: f64) -> Self {
        self.value = value;
        self
    }

    /// With true, before the tensor's own entries.
    #[must_use]
    pub fn first(mut self, first: bool) -> Self {
        self.first = first;
        self
    }

    /// The longest of each tensor, from the dtypes and shapes of all ranks.
    fn lengths(self, ranks: &[Vec<(String, Vec<i64>)>]) -> Result<Vec<i64>> {
        let fits = |tensors: &Vec<(String, Vec<i64>)>| {
            let told = tensors.iter().map(|(kind, size)| format!("{kind} {size:?}"));
            format!("pad_across_ranks of {}", told.collect::<Vec<_>>().join(", "))
        };
        let Some(first) = ranks.first() else { return Ok(Vec::new()) };
        if let Some((kind, size)) = first.iter().find(|(_, size)| size.len() <= self.dim) {
            return Err(Error::config(format!(
                "pad_across_ranks was given {kind} {size:?}, which has no dimension {}; they count from 0",
                self.dim
            )));
        }
        let others = |tensors: &Vec<(String, Vec<i64>)>| -> Vec<Vec<i64>> {
            let mut sizes: Vec<Vec<i64>> = tensors.iter().map(|(_, size)| size.clone()).collect();
            sizes.iter_mut().filter_map(|size| size.get_mut(self.dim)).for_each(|length| *length = 0);
            sizes
        };
        if ranks.iter().any(|rank| others(rank) != others(first)) {
            return Err(exchange::differ("pad_across_ranks", &ranks.iter().map(fits).collect::<Vec<_>>()));
        }
        let longest = |tensor: usize| ranks.iter().map(|rank| rank[tensor].1[self.dim]).max().unwrap_or_default();
        Ok((0..first.len()).map(longest).collect())
    }

    fn fill(self, tensor: &Tensor, length: i64) -> Result<Tensor> {
        let kind = tensor.kind();
        let whole = self.value.is_finite() && self.value.fract() == 0.0;
        let fits = tensor.is_floating_point() || whole && (kind != Kind::Bool || (0.0..=1.0).contains(&self.value));
        if !fits {
            return Err(Error::config(format!("a tensor of {kind:?} cannot be filled up with {}", self.value)));
        }
        filled_to(&tensor.f_detach()?, self.dim as i64, length, self.value, self.first)
    }
}

impl std::fmt::Display for Padding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = if self.first { "before" } else { "after" };
        write!(f, "dimension {} with {} {place}", self.dim, self.value)
    }
}

/// The tensor with `length` entries along `dim`.
fn filled_to(tensor: &Tensor, dim: i64, length: i64, value: f64, first: bool) -> Result<Tensor> {
    let mut size = tensor.size();
    let own = size[dim as usize];
    if own >= length {
        return Ok(tensor.shallow_clone());
    }
    size[dim as usize] = length;
    let filled = Tensor::f_full(size, value, (tensor.kind(), tensor.device()))?;
    filled.f_narrow(dim, if first { length - own } else { 0 }, own)?.f_copy_(tensor)?;
    Ok(filled)
}
