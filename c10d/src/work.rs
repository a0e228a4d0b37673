//! Collectives that go on while the caller does something else.

use std::time::Duration;

use cxx::UniquePtr;

use crate::bridge::ffi;
use crate::error::Result;
use crate::millis;
use crate::process_group::Moment;
use crate::process_group::call::Call;

/// A collective under way, whose result is a `T`. See `torch.distributed.Work`.
///
/// The result comes out of [`wait`](Self::wait), and from nowhere else: a collective works on memory that nobody can reach
/// until then. The tensors that were given to it are moved into it; where something else holds their memory, too (another
/// handle, a view, a graph), it works on a copy. So half-written elements cannot be read, nor can elements change while they
/// are sent.
///
/// Dropping it unfinished is sound, and ends nothing: libtorch holds the tensors until the collective has ended, and this
/// rank's part in it goes on, so that the other ranks get theirs; only this rank's result is lost, and an error with it.
/// Dropping the *group* waits for its collectives, at most for their timeout, and gives up sends and receives.
#[must_use = "without `wait` the result is lost, and an error with it"]
pub struct Work<T> {
    inner: UniquePtr<ffi::Work>,
    call: Call,
    finish: Box<dyn FnOnce() -> Result<T> + Send>,
}

// SAFETY: libtorch guards a `c10d::Work` with a mutex, and completes it from a thread of its own; what `finish` holds is
// `Send` by its type.
unsafe impl<T> Send for Work<T> {}

impl<T> std::fmt::Debug for Work<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work")
            .field("operation", &self.call.operation)
            .field("is_completed", &self.is_completed())
            .finish_non_exhaustive()
    }
}

/// What [`Work::wait_timeout`] found.
#[derive(Debug)]
pub enum Waited<T> {
    /// The collective has ended, with this result.
    Finished(T),
    /// It goes on.
    Pending(Work<T>),
}

impl<T> Work<T> {
    pub(crate) fn new(
        call: Call,
        inner: Result<UniquePtr<ffi::Work>, cxx::Exception>,
        finish: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<Self> {
        let inner = call.result(inner)?;
        call.note(Moment::Begun);
        Ok(Self { inner, call, finish: Box::new(finish) })
    }

    /// Waits for the collective to end and gives its result.
    ///
    /// # Errors
    /// [`Error::Timeout`](crate::Error::Timeout) where it takes longer than the group's timeout,
    /// [`Error::Backend`](crate::Error::Backend) where a peer is gone. The group is of no use after either: Gloo closes its
    /// connections.
    pub fn wait(self) -> Result<T> {
        self.call.note(Moment::Waiting);
        self.call.result(self.inner.wait())?;
        self.call.note(Moment::Ended);
        (self.finish)()
    }

    /// [`wait`](Self::wait), for so long at most; the collective goes on after that.
    ///
    /// # Errors
    /// As [`wait`](Self::wait). That `timeout` has passed is no error, but [`Waited::Pending`].
    pub fn wait_timeout(self, timeout: Duration) -> Result<Waited<T>> {
        self.call.note(Moment::Waiting);
        if self.call.result(self.inner.wait_for(millis(timeout)))? {
            self.call.note(Moment::Ended);
            return (self.finish)().map(Waited::Finished);
        }
        self.call.note(Moment::Pending);
        Ok(Waited::Pending(self))
    }

    /// True once the collective has ended, well or not: then [`wait`](Self::wait) does not wait.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.inner.is_completed()
    }
}
