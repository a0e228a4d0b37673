//! From one rank to one other.

use tch::Tensor;

use super::ProcessGroup;
use super::call::Call;
use super::elements;
use crate::error::Result;
use crate::tensors;
use crate::work::Work;

/// Above the numbers that Gloo gives to a group's own messages, which begin at 0.
const OWN_TAGS: u32 = 1 << 30;

impl ProcessGroup {
    /// Sends `tensor` to rank `to`, which receives it with the same `tag`. Returns when the memory is free again, which may be
    /// before the other rank has asked for it.
    ///
    /// # Errors
    /// Those of [every collective](Self); [`Error::Argument`](crate::Error::Argument) where `to` is not in the group or is this
    /// rank, or the tag is 2³⁰ or above.
    pub fn send(&self, tensor: &Tensor, to: usize, tag: u32) -> Result<()> {
        let call = self.call("send");
        self.start_send(call, elements::dense(tensor, &call)?, to, tag, false)?.wait()
    }

    /// [`send`](Self::send) in the background.
    ///
    /// # Errors
    /// As [`send`](Self::send), now or out of the wait.
    pub fn send_async(&self, tensor: Tensor, to: usize, tag: u32) -> Result<Work<()>> {
        let call = self.call("send");
        self.start_send(call, elements::owned(tensor, &call)?, to, tag, true)
    }

    fn start_send(&self, call: Call, elements: Tensor, to: usize, tag: u32, background: bool) -> Result<Work<()>> {
        let tag = self.other_end(call, "receiver", to, tag)?;
        let flat = elements::flat(&elements, &call)?;
        let begun = self.inner.send(tensors::borrow(&flat), to as i32, tag, self.patience(), background);
        Work::new(call, begun, move || {
            drop(elements);
            Ok(())
        })
    }

    /// Replaces `tensor` by what rank `from` sends with the same `tag`, which is of the same shape and dtype: Gloo ends the
    /// process of a rank that is sent more than it expects.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn recv(&self, tensor: &mut Tensor, from: usize, tag: u32) -> Result<()> {
        let call = self.call("recv");
        let elements = elements::dense(tensor, &call)?;
        let _ = self.start_recv(call, elements.shallow_clone(), from, tag, false)?.wait()?;
        elements::write_back(tensor, &elements, &call)
    }

    /// [`recv`](Self::recv) in the background.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), now or out of the wait.
    pub fn recv_async(&self, tensor: Tensor, from: usize, tag: u32) -> Result<Work<Tensor>> {
        let call = self.call("recv");
        self.start_recv(call, elements::owned(tensor, &call)?, from, tag, true)
    }

    fn start_recv(
        &self,
        call: Call,
        elements: Tensor,
        from: usize,
        tag: u32,
        background: bool,
    ) -> Result<Work<Tensor>> {
        let tag = self.other_end(call, "sender", from, tag)?;
        let flat = elements::flat(&elements, &call)?;
        let begun = self.inner.receive(tensors::borrow(&flat), from as i32, tag, self.patience(), background);
        Work::new(call, begun, move || Ok(elements))
    }

    /// Gloo's tag for a message with that rank.
    fn other_end(&self, call: Call, role: &str, rank: usize, tag: u32) -> Result<i32> {
        call.rank_in_group(role, rank)?;
        if rank == self.rank {
            return call.refuse(format!("{role} {rank} is this rank itself; copy the tensor instead"));
        }
        if tag >= OWN_TAGS {
            return call.refuse(format!("tag {tag} is too large; choose one below {OWN_TAGS}"));
        }
        Ok((tag | OWN_TAGS) as i32)
    }
}
