//! Groups of some of a group's ranks.
//!
//! Each is a group of its own over a part of its parent's store. Gloo's own split needs a device to be bound to the group, and
//! so does not serve.

use super::call::Call;
use super::{ProcessGroup, next};
use crate::error::Result;
use crate::store::PrefixStore;

impl ProcessGroup {
    /// A group of some of this group's ranks, in the order given: the first is its rank 0. `None` on a rank that is not a
    /// member. As `torch.distributed.new_group`.
    ///
    /// Every rank of this group calls it, with the same list, and as the same of its sub-groups: the group counts them. Only
    /// the members wait for one another. The new group has this group's timeout, interface, backend and debug mode.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) where the list is empty, has a rank twice or one that is not in this group;
    /// those of [`with_options`](Self::with_options).
    pub fn subgroup(&self, ranks: &[usize]) -> Result<Option<Self>> {
        let call = self.call("subgroup");
        if ranks.is_empty() {
            return call.refuse("a group has one rank at least; the list is empty");
        }
        for (index, &rank) in ranks.iter().enumerate() {
            call.rank_in_group("rank", rank)?;
            if ranks[..index].contains(&rank) {
                return call.refuse(format!("rank {rank} is in the list twice; name each member once"));
            }
        }
        self.compare(&call, || format!("{ranks:?}"))?;
        let number = next(&self.subgroups);
        let members = ranks.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
        // With the members in the name, ranks that gave different lists do not meet.
        self.member(call, &format!("subgroup/{number}/{members}"), ranks)
    }

    /// Shares this group's ranks out into groups of one `color` each; `None` is in none and gets none. In a new group ranks are
    /// in the order of `key`, then of their rank here. As `MPI_Comm_split`.
    ///
    /// A collective: every rank of this group calls it.
    ///
    /// # Errors
    /// Those of [every collective](Self) and of [`with_options`](Self::with_options).
    pub fn split(&self, color: Option<u64>, key: i64) -> Result<Option<Self>> {
        let call = self.call("split");
        self.compare(&call, String::new)?;
        let number = next(&self.subgroups);
        let all = self.collect(call, &(color, key), None)?;
        let mut members: Vec<usize> = (0..self.world_size).filter(|&rank| all[rank].0 == color).collect();
        members.sort_by_key(|&rank| (all[rank].1, rank));
        let Some(color) = color else { return Ok(None) };
        self.member(call, &format!("split/{number}/{color}"), &members)
    }

    /// Joins the group of these ranks, if this one is among them.
    fn member(&self, call: Call, name: &str, ranks: &[usize]) -> Result<Option<Self>> {
        let Some(rank) = ranks.iter().position(|&rank| rank == self.rank) else { return Ok(None) };
        let store = PrefixStore::over(name, &self.store)?;
        let place = (rank, ranks.len());
        let group = Self::join(call.operation, &store, place, self.timeout.get(), self.terms.clone())?;
        group.observer.set(self.observer.get());
        Ok(Some(group))
    }
}
