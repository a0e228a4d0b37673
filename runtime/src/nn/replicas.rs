//! The ranks that a layer's batch is spread over.

use std::rc::Rc;

use tch::Tensor;

use crate::c10d::ProcessGroup;
use crate::error::Result;
use crate::optim::LossWeight;
use crate::worker::activity::{self, Collective};

/// The ranks that train one model together, each on its share of the batch: from
/// [`Context::replicas`](crate::worker::Context::replicas), for layers that look at all of it. The default is this process
/// alone, as for inference.
#[derive(Debug, Clone, Default)]
pub struct Replicas {
    group: Option<Rc<ProcessGroup>>,
    weight: LossWeight,
}

impl Replicas {
    pub(crate) fn new(group: Option<Rc<ProcessGroup>>, weight: LossWeight) -> Self {
        Self { group, weight }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.group.as_ref().map_or(1, |group| group.world_size())
    }

    /// True where this rank has no sample of the batch, and computes with a stand-in that counts for nothing.
    pub(super) fn is_stand_in(&self) -> bool {
        self.weight.get() == 0.0
    }

    /// All ranks' rows of one length, one below the other. Gradients go back to the rank that a row is of.
    pub(super) fn gather(&self, row: &Tensor) -> Result<Tensor> {
        let row = row.f_unsqueeze(0)?;
        let Some(group) = &self.group else { return Ok(row) };
        let (rank, ranks, length) = (group.rank() as i64, group.world_size() as i64, row.size()[1]);
        let zeros = |rows| Tensor::f_zeros([rows, length], (row.kind(), row.device()));
        let own = Tensor::f_cat(&[zeros(rank)?, row.shallow_clone(), zeros(ranks - rank - 1)?], 0)?;
        Ok(activity::within(Collective::Forward, || group.all_reduce_with_grad(&own))?)
    }
}
