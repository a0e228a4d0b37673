//! From all ranks to one, or to all.

use tch::Tensor;

use super::ProcessGroup;
use super::call::{Call, layout};
use super::elements;
use super::reduce::with_rows;
use crate::error::{Error, Result};
use crate::tensors;
use crate::work::Work;

/// What ranks tell one another of a tensor before an uneven all-gather: its rows, then the rest in words.
const HEADER_BYTES: usize = 256;

impl ProcessGroup {
    /// Every rank's `tensor`, in the order of ranks. All have the same shape and dtype. The results are views of one memory.
    ///
    /// # Errors
    /// Those of [every collective](Self).
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>> {
        let call = self.call("all_gather");
        self.start_all_gather(call, &elements::dense(tensor, &call)?)?.wait()
    }

    /// [`all_gather`](Self::all_gather) in the background.
    ///
    /// # Errors
    /// As [`all_gather`](Self::all_gather), now or out of the wait.
    pub fn all_gather_async(&self, tensor: Tensor) -> Result<Work<Vec<Tensor>>> {
        let call = self.call("all_gather");
        self.start_all_gather(call, &elements::owned(tensor, &call)?)
    }

    fn start_all_gather(&self, call: Call, input: &Tensor) -> Result<Work<Vec<Tensor>>> {
        self.compare(&call, || layout(input))?;
        self.begin_all_gather(call, input, move |stacked| call.torch(stacked.f_unbind(0)))
    }

    /// Every rank's `tensor`, one after the other along the first dimension, in the order of ranks: of n ranks' `[k, …]` one
    /// `[n * k, …]`; of single numbers a list. All have the same shape and dtype.
    ///
    /// # Errors
    /// Those of [every collective](Self).
    pub fn all_gather_into_tensor(&self, tensor: &Tensor) -> Result<Tensor> {
        let call = self.call("all_gather_into_tensor");
        self.start_all_gather_into(call, &elements::dense(tensor, &call)?)?.wait()
    }

    /// [`all_gather_into_tensor`](Self::all_gather_into_tensor) in the background.
    ///
    /// # Errors
    /// As [`all_gather_into_tensor`](Self::all_gather_into_tensor), now or out of the wait.
    pub fn all_gather_into_tensor_async(&self, tensor: Tensor) -> Result<Work<Tensor>> {
        let call = self.call("all_gather_into_tensor");
        self.start_all_gather_into(call, &elements::owned(tensor, &call)?)
    }

    fn start_all_gather_into(&self, call: Call, input: &Tensor) -> Result<Work<Tensor>> {
        self.compare(&call, || layout(input))?;
        let rows = input.size().first().copied().unwrap_or(1);
        let shape = with_rows(input, rows * self.world_size as i64);
        self.begin_all_gather(call, input, move |stacked| {
            call.torch(if shape.is_empty() { Ok(stacked) } else { stacked.f_view(&shape[..]) })
        })
    }

    /// `finish` gets a tensor with the ranks as first dimension.
    fn begin_all_gather<T>(
        &self,
        call: Call,
        input: &Tensor,
        finish: impl FnOnce(Tensor) -> Result<T> + Send + 'static,
    ) -> Result<Work<T>> {
        let stacked = elements::empty(input, Some(self.world_size as i64), &input.size(), &call)?;
        let rows = elements::rows(&stacked, self.world_size, &call)?;
        let input = elements::flat(input, &call)?;
        let begun = self.inner.all_gather(tensors::borrow(&rows), tensors::borrow(&input));
        Work::new(call, begun, move || finish(stacked))
    }

    /// [`all_gather`](Self::all_gather) of tensors whose first dimensions differ. Gloo refuses these: the ranks first tell one
    /// another their shapes, then send tensors that are filled up to the longest.
    ///
    /// # Errors
    /// Those of [every collective](Self); [`Error::Argument`] for a single number; [`Error::Desynchronised`], on every rank,
    /// where the tensors differ in more than their first dimension.
    pub fn all_gather_uneven(&self, tensor: &Tensor) -> Result<Vec<Tensor>> {
        let call = self.call("all_gather_uneven");
        self.start_all_gather_uneven(call, &elements::dense(tensor, &call)?)?.wait()
    }

    /// [`all_gather_uneven`](Self::all_gather_uneven) in the background, once the ranks have told one another their shapes: it
    /// waits for all ranks to call it.
    ///
    /// # Errors
    /// As [`all_gather_uneven`](Self::all_gather_uneven), now or out of the wait.
    pub fn all_gather_uneven_async(&self, tensor: Tensor) -> Result<Work<Vec<Tensor>>> {
        let call = self.call("all_gather_uneven");
        self.start_all_gather_uneven(call, &elements::owned(tensor, &call)?)
    }

    fn start_all_gather_uneven(&self, call: Call, input: &Tensor) -> Result<Work<Vec<Tensor>>> {
        let rows = call.rows(input)?;
        self.compare(&call, String::new)?;
        let theirs = self.layouts(call, rows, input)?;
        if theirs.iter().any(|(_, rest)| *rest != theirs[self.rank].1) {
            let all: Vec<String> = theirs
                .iter()
                .enumerate()
                .map(|(rank, (rows, rest))| format!("rank {rank}: {rows} rows of {rest}"))
                .collect();
            return Err(Error::Desynchronised {
                operation: call.operation,
                message: format!(
                    "the ranks' tensors differ in more than their first dimension: {}; give tensors of one dtype and shape",
                    all.join(", ")
                ),
            });
        }
        let lengths: Vec<i64> = theirs.into_iter().map(|(rows, _)| rows).collect();
        self.begin_padded(call, input, &lengths, None, Ok)
    }

    /// What each rank is about to gather: its rows, and the rest of the layout in words.
    fn layouts(&self, call: Call, rows: i64, input: &Tensor) -> Result<Vec<(i64, String)>> {
        let mut header = format!("{:?} {:?}", input.kind(), &input.size()[1..]).into_bytes();
        header.splice(0..0, rows.to_le_bytes());
        header.resize(HEADER_BYTES, 0);
        let decode = |bytes: Tensor| {
            let bytes = call.torch(Vec::<u8>::try_from(&bytes))?;
            let mut rows = [0; 8];
            rows.copy_from_slice(&bytes[..8]);
            Ok((i64::from_le_bytes(rows), String::from_utf8_lossy(&bytes[8..]).trim_end_matches('\0').to_owned()))
        };
        let stacked = self.begin_all_gather(call, &Tensor::from_slice(&header), Ok)?.wait()?;
        call.torch(stacked.f_unbind(0))?.into_iter().map(decode).collect()
    }

    /// Gathers tensors of these lengths, on `root` alone or, without, on every rank.
    pub(super) fn begin_padded<T>(
        &self,
        call: Call,
        input: &Tensor,
        lengths: &[i64],
        root: Option<usize>,
        finish: impl FnOnce(Vec<Tensor>) -> Result<T> + Send + 'static,
    ) -> Result<Work<T>> {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let padded = call.torch(Tensor::f_zeros(with_rows(input, longest), (input.kind(), input.device())))?;
        let own = padded.f_narrow(0, 0, lengths[self.rank]).and_then(|mut own| own.f_copy_(input));
        call.torch(own)?;
        let lengths = lengths.to_vec();
        let cut = move |rows: Vec<Tensor>| {
            let cut = rows.iter().zip(lengths).map(|(row, length)| call.torch(row.f_narrow(0, 0, length)));
            finish(cut.collect::<Result<_>>()?)
        };
        match root {
            None => self.begin_all_gather(call, &padded, move |stacked| cut(call.torch(stacked.f_unbind(0))?)),
            Some(root) => self.begin_gather(call, &padded, root, move |rows| cut(rows.unwrap_or_default())),
        }
    }

    /// Every rank's `tensor`, in the order of ranks, on `root` alone. All have the same shape and dtype.
    ///
    /// # Errors
    /// Those of [every collective](Self); [`Error::Argument`] where `root` is not in the group.
    pub fn gather(&self, tensor: &Tensor, root: usize) -> Result<Option<Vec<Tensor>>> {
        let call = self.call("gather");
        self.start_gather(call, &elements::dense(tensor, &call)?, root)?.wait()
    }

    /// [`gather`](Self::gather) in the background.
    ///
    /// # Errors
    /// As [`gather`](Self::gather), now or out of the wait.
    pub fn gather_async(&self, tensor: Tensor, root: usize) -> Result<Work<Option<Vec<Tensor>>>> {
        let call = self.call("gather");
        self.start_gather(call, &elements::owned(tensor, &call)?, root)
    }

    fn start_gather(&self, call: Call, input: &Tensor, root: usize) -> Result<Work<Option<Vec<Tensor>>>> {
        call.rank_in_group("root", root)?;
        self.compare(&call, || format!("{} to root {root}", layout(input)))?;
        self.begin_gather(call, input, root, Ok)
    }

    fn begin_gather<T>(
        &self,
        call: Call,
        input: &Tensor,
        root: usize,
        finish: impl FnOnce(Option<Vec<Tensor>>) -> Result<T> + Send + 'static,
    ) -> Result<Work<T>> {
        let stacked = (self.rank == root)
            .then(|| elements::empty(input, Some(self.world_size as i64), &input.size(), &call))
            .transpose()?;
        let rows = stacked.as_ref().map(|stacked| elements::rows(stacked, self.world_size, &call)).transpose()?;
        let input = elements::flat(input, &call)?;
        let begun = self.inner.gather(&tensors::list(&rows), tensors::borrow(&input), root as i32);
        Work::new(call, begun, move || finish(stacked.map(|stacked| call.torch(stacked.f_unbind(0))).transpose()?))
    }

    /// Every rank's number, on every rank.
    pub(super) fn all_numbers(&self, call: Call, number: i64) -> Result<Vec<i64>> {
        let numbers = self.begin_all_gather(call, &Tensor::from_slice(&[number]), Ok)?.wait()?;
        call.torch(numbers.f_flatten(0, -1).and_then(|numbers| Vec::try_from(&numbers)))
    }
}
