//! From every rank to every rank.

use tch::Tensor;

use super::ProcessGroup;
use super::call::{Call, layout};
use super::elements;
use super::reduce::with_rows;
use crate::error::Result;
use crate::tensors;
use crate::work::Work;

impl ProcessGroup {
    /// Sends each rank its share of `input`'s rows, and gives the shares that the ranks sent, in their order: the first
    /// dimension is shared out equally. All have the same shape and dtype.
    ///
    /// # Errors
    /// Those of [every collective](Self); [`Error::Argument`](crate::Error::Argument) where the first dimension is no
    /// multiple of the number of ranks.
    pub fn all_to_all(&self, input: &Tensor) -> Result<Tensor> {
        let call = self.call("all_to_all");
        self.start_all_to_all(call, &elements::dense(input, &call)?)?.wait()
    }

    /// [`all_to_all`](Self::all_to_all) in the background.
    ///
    /// # Errors
    /// As [`all_to_all`](Self::all_to_all), now or out of the wait.
    pub fn all_to_all_async(&self, input: Tensor) -> Result<Work<Tensor>> {
        let call = self.call("all_to_all");
        self.start_all_to_all(call, &elements::owned(input, &call)?)
    }

    fn start_all_to_all(&self, call: Call, input: &Tensor) -> Result<Work<Tensor>> {
        call.equal_shares(input)?;
        self.compare(&call, || layout(input))?;
        let output = elements::empty(input, None, &input.size(), &call)?;
        self.begin_all_to_all(call, input, output, &[], &[])
    }

    /// [`all_to_all`](Self::all_to_all) with shares of different lengths: of `input`'s rows the first `send[0]` go to rank 0,
    /// the next `send[1]` to rank 1, and so on; the result has `receive[0]` rows of rank 0, then `receive[1]` of rank 1. What
    /// one rank sends another must be what that one receives: only [`GroupOptions::debug`](crate::GroupOptions::debug) can
    /// tell.
    ///
    /// # Errors
    /// Those of [every collective](Self); [`Error::Argument`](crate::Error::Argument) where a list has not one number for each
    /// rank, what this rank sends itself is not what it receives of itself, or `send` does not add up to `input`'s rows.
    pub fn all_to_all_uneven(&self, input: &Tensor, send: &[usize], receive: &[usize]) -> Result<Tensor> {
        let call = self.call("all_to_all_uneven");
        self.start_all_to_all_uneven(call, &elements::dense(input, &call)?, send, receive)?.wait()
    }

    /// [`all_to_all_uneven`](Self::all_to_all_uneven) in the background.
    ///
    /// # Errors
    /// As [`all_to_all_uneven`](Self::all_to_all_uneven), now or out of the wait.
    pub fn all_to_all_uneven_async(&self, input: Tensor, send: &[usize], receive: &[usize]) -> Result<Work<Tensor>> {
        let call = self.call("all_to_all_uneven");
        self.start_all_to_all_uneven(call, &elements::owned(input, &call)?, send, receive)
    }

    fn start_all_to_all_uneven(
        &self,
        call: Call,
        input: &Tensor,
        send: &[usize],
        receive: &[usize],
    ) -> Result<Work<Tensor>> {
        call.one_for_each_rank("numbers of rows to send", send.len())?;
        call.one_for_each_rank("numbers of rows to receive", receive.len())?;
        let rows = call.rows(input)?;
        let signed = |counts: &[usize]| counts.iter().map(|&count| count as i64).collect::<Vec<_>>();
        let (send, receive) = (signed(send), signed(receive));
        let sum = send.iter().sum::<i64>();
        if sum != rows {
            return call.refuse(format!("{sum} rows to send, and the tensor has {rows}; send every row to one rank"));
        }
        let (own, back) = (send[self.rank], receive[self.rank]);
        if own != back {
            return call.refuse(format!(
                "rank {} sends itself {own} rows and receives {back} of itself; give the same number twice",
                self.rank
            ));
        }
        self.compare_shares(&call, || format!("{:?} rows of {:?}", input.kind(), &input.size()[1..]), &send, &receive)?;
        let output = elements::empty(input, None, &with_rows(input, receive.iter().sum()), &call)?;
        self.begin_all_to_all(call, input, output, &send, &receive)
    }

    fn begin_all_to_all(
        &self,
        call: Call,
        input: &Tensor,
        output: Tensor,
        send: &[i64],
        receive: &[i64],
    ) -> Result<Work<Tensor>> {
        let (flat_input, flat_output) = (elements::flat(input, &call)?, elements::flat(&output, &call)?);
        // Rows as Gloo counts: elements, or bytes of a dtype that it does not know.
        let bytes = if flat_input.kind() == input.kind() { 1 } else { input.kind().elt_size_in_bytes() as i64 };
        let width = bytes * input.size().get(1..).unwrap_or_default().iter().product::<i64>();
        let wide = |counts: &[i64]| counts.iter().map(|count| count * width).collect::<Vec<_>>();
        let begun = self.inner.all_to_all(
            tensors::borrow(&flat_output),
            tensors::borrow(&flat_input),
            &wide(receive),
            &wide(send),
        );
        Work::new(call, begun, move || Ok(output))
    }
}
