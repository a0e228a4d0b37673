//! One call of a collective on one rank: what its errors say.

use std::time::Instant;

use tch::Tensor;

use super::backend::Backend;
use super::observe::{Moment, Observer};
use crate::error::{During, Error, Result};

/// Which operation, on which rank, since when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    pub(crate) backend: Backend,
    begun: Instant,
    observer: Option<Observer>,
}

impl Call {
    pub(crate) fn new(operation: &'static str, rank: usize, world_size: usize, backend: Backend) -> Self {
        Self { operation, rank, world_size, backend, begun: Instant::now(), observer: None }
    }

    pub(super) fn observed_by(self, observer: Option<Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Tells the group's observer.
    pub(crate) fn note(&self, moment: Moment) {
        if let Some(observer) = self.observer {
            observer(self.operation, moment);
        }
    }

    /// A result of libtorch's, with this rank and how long it waited in the error.
    pub(crate) fn result<T>(&self, result: Result<T, cxx::Exception>) -> Result<T> {
        result.during(self.operation).map_err(|error| self.named(error))
    }

    /// A result of tch's.
    pub(crate) fn torch<T>(&self, result: Result<T, tch::TchError>) -> Result<T> {
        result.during(self.operation)
    }

    fn named(&self, error: Error) -> Error {
        let Self { rank, world_size, .. } = self;
        let waited = self.begun.elapsed();
        match error {
            Error::Timeout { .. } => error.with_message(|message| {
                format!(
                    "rank {rank} of {world_size} waited {waited:.1?}; see that every rank calls it in the same order, or \
                     give the group longer ({message})"
                )
            }),
            Error::Backend { .. } | Error::Network { .. } => error.with_message(|message| {
                format!(
                    "rank {rank} of {world_size} had waited {waited:.1?} when a rank ended or left the group ({message})"
                )
            }),
            error => error,
        }
    }

    pub(crate) fn refuse<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Error::argument(self.operation, message))
    }

    /// Refuses a rank that is not in the group; `role` is what it is to do, such as `root`.
    pub(crate) fn rank_in_group(&self, role: &str, rank: usize) -> Result<()> {
        if rank < self.world_size {
            return Ok(());
        }
        self.refuse(format!("{role} {rank} is not in a group of {}; ranks count from 0", self.world_size))
    }

    /// Refuses a list that has not one entry for each rank.
    pub(crate) fn one_for_each_rank(&self, things: &str, count: usize) -> Result<()> {
        if count == self.world_size {
            return Ok(());
        }
        self.refuse(format!("{count} {things} for a group of {}; give one for each rank", self.world_size))
    }

    /// Refuses tensors that differ from the first in shape, dtype or device. `shapes` is false where only the last two count.
    pub(crate) fn alike<'a>(&self, tensors: impl IntoIterator<Item = &'a Tensor>, shapes: bool) -> Result<()> {
        let mut tensors = tensors.into_iter();
        let Some(first) = tensors.next() else { return Ok(()) };
        for (index, tensor) in (1..).zip(tensors) {
            let same = first.kind() == tensor.kind() && first.device() == tensor.device();
            if !same || shapes && first.size() != tensor.size() {
                return self.refuse(format!(
                    "tensor {index} is {} on {:?}, and tensor 0 is {} on {:?}; give tensors of one {}dtype and device",
                    layout(tensor),
                    tensor.device(),
                    layout(first),
                    first.device(),
                    if shapes { "shape, " } else { "" },
                ));
            }
        }
        Ok(())
    }

    /// The rows of the first dimension, if they can be shared out equally.
    pub(crate) fn equal_shares(&self, tensor: &Tensor) -> Result<i64> {
        let rows = self.rows(tensor)?;
        let world_size = self.world_size as i64;
        if rows % world_size == 0 {
            return Ok(rows / world_size);
        }
        self.refuse(format!(
            "the first dimension of {} cannot be shared out over {world_size} ranks; make it a multiple of {world_size}",
            layout(tensor)
        ))
    }

    /// The length of the first dimension.
    pub(crate) fn rows(&self, tensor: &Tensor) -> Result<i64> {
        match tensor.size().first() {
            Some(&rows) => Ok(rows),
            None => self.refuse("the tensor is a single number and has no rows; give it a first dimension"),
        }
    }
}

/// A tensor's dtype and shape, for people.
pub(crate) fn layout(tensor: &Tensor) -> String {
    format!("{:?} {:?}", tensor.kind(), tensor.size())
}
