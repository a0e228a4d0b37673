//! Who wants to know what a rank does in a group.

use super::ProcessGroup;

/// How far a rank is with a collective, a send or a receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// It has begun its part.
    Begun,
    /// It waits for the others.
    Waiting,
    /// It no longer waits, though the collective goes on: a wait with a timeout that has passed.
    Pending,
    /// It has its result. Where the collective failed, this does not come.
    Ended,
}

/// Told of each moment, with the operation's name, such as `all_reduce`, on the thread that calls it. An operation that takes
/// several steps, such as `all_gather_object`, tells of each.
pub type Observer = fn(operation: &'static str, moment: Moment);

impl ProcessGroup {
    /// Tells `observer` what this rank does in this group from now on, and in its sub-groups that are made from now on.
    /// [`DistributedDataParallel`](crate::DistributedDataParallel) and
    /// [`monitored_barrier`](Self::monitored_barrier) go past it.
    ///
    /// ```no_run
    /// use trainloop_c10d::{Moment, ProcessGroup};
    ///
    /// fn watch(group: &ProcessGroup) {
    ///     group.observe(|operation, moment| {
    ///         if moment == Moment::Waiting {
    ///             eprintln!("waits in {operation}");
    ///         }
    ///     });
    /// }
    /// ```
    pub fn observe(&self, observer: Observer) {
        self.observer.set(Some(observer));
    }
}
