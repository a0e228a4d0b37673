//! Values that serde can write, from rank to rank, as MessagePack. They block, as PyTorch's do.
//!
//! A rank whose value cannot be written says so in place of its length, so that every rank gets an error and none waits.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Kind, Tensor};

use super::ProcessGroup;
use super::call::Call;
use super::elements;
use crate::error::{Error, Result};

/// In place of a length.
const NOT_WRITTEN: i64 = -1;

impl ProcessGroup {
    /// `root`'s value, on every rank. `root` gives `Some`; what others give is not looked at.
    ///
    /// # Errors
    /// Those of [every collective](Self); [`Error::Argument`] where `root` is not in the group or gives `None`;
    /// [`Error::Object`] where the value cannot be written, or read as a `T`.
    pub fn broadcast_object<T: Serialize + DeserializeOwned>(&self, value: Option<&T>, root: usize) -> Result<T> {
        let call = self.call("broadcast_object");
        call.rank_in_group("root", root)?;
        let own = match value {
            Some(value) if self.rank == root => encode(&call, value),
            None if self.rank == root => return call.refuse(format!("root {root} has no value; give Some")),
            _ => Ok(Vec::new()),
        };
        self.compare(&call, || format!("from root {root}"))?;
        let length = Tensor::from_slice(&[length(&own)]);
        let length = self.begin_broadcast(call, length, root)?.wait()?;
        let length = call.torch(i64::try_from(&length))?;
        let own = own?;
        written(&call, root, length)?;
        let bytes = if self.rank == root { Tensor::from_slice(&own) } else { blank(&call, length)? };
        let bytes = self.begin_broadcast(call, bytes, root)?.wait()?;
        decode(&call, root, &bytes)
    }

    /// Every rank's value, in the order of ranks.
    ///
    /// # Errors
    /// Those of [every collective](Self); [`Error::Object`] where a value cannot be written, or read as a `T`.
    pub fn all_gather_object<T: Serialize + DeserializeOwned>(&self, value: &T) -> Result<Vec<T>> {
        let call = self.call("all_gather_object");
        self.compare(&call, String::new)?;
        self.collect(call, value, None)
    }

    /// Every rank's value, in the order of ranks, on `root` alone.
    ///
    /// # Errors
    /// As [`all_gather_object`](Self::all_gather_object); [`Error::Argument`] where `root` is not in the group.
    pub fn gather_object<T: Serialize + DeserializeOwned>(&self, value: &T, root: usize) -> Result<Option<Vec<T>>> {
        let call = self.call("gather_object");
        call.rank_in_group("root", root)?;
        self.compare(&call, || format!("to root {root}"))?;
        let values = self.collect(call, value, Some(root))?;
        Ok((self.rank == root).then_some(values))
    }

    /// The values of all ranks, where they are wanted.
    pub(super) fn collect<T: Serialize + DeserializeOwned>(
        &self,
        call: Call,
        value: &T,
        root: Option<usize>,
    ) -> Result<Vec<T>> {
        let own = encode(&call, value);
        let lengths = self.all_numbers(call, length(&own))?;
        let own = own?;
        lengths.iter().enumerate().try_for_each(|(rank, &length)| written(&call, rank, length))?;
        let all = self.begin_padded(call, &Tensor::from_slice(&own), &lengths, root, Ok)?.wait()?;
        all.iter().enumerate().map(|(rank, bytes)| decode(&call, rank, bytes)).collect()
    }

    /// What `root` has for this rank: it gives a value for each rank, the others `None`.
    ///
    /// # Errors
    /// As [`broadcast_object`](Self::broadcast_object); [`Error::Argument`] where `root`'s list has not one value for each
    /// rank.
    pub fn scatter_object<T: Serialize + DeserializeOwned>(&self, values: Option<&[T]>, root: usize) -> Result<T> {
        let call = self.call("scatter_object");
        call.rank_in_group("root", root)?;
        let own: Result<Vec<Vec<u8>>> = match values {
            Some(values) if self.rank == root => {
                call.one_for_each_rank("values", values.len())?;
                values.iter().map(|value| encode(&call, value)).collect()
            }
            None if self.rank == root => {
                return call.refuse(format!("root {root} has no list; give a value for each rank"));
            }
            _ => Ok(Vec::new()),
        };
        self.compare(&call, || format!("from root {root}"))?;

        // For each rank the length of its value, and of the longest.
        let longest = |all: &Vec<Vec<u8>>| all.iter().map(Vec::len).max().unwrap_or(0);
        let lengths: Vec<i64> = match &own {
            Ok(all) => all.iter().flat_map(|bytes| [bytes.len() as i64, longest(all) as i64]).collect(),
            Err(_) => vec![NOT_WRITTEN; 2 * self.world_size],
        };
        let is_root = self.rank == root;
        let lengths = is_root.then(|| Tensor::from_slice(&lengths));
        let pair = call.torch(Tensor::f_zeros([2], (Kind::Int64, tch::Device::Cpu)))?;
        let pair = self.begin_scatter(call, pair, lengths.as_ref(), root)?.wait()?;
        let pair = call.torch(Vec::<i64>::try_from(&pair))?;
        let own = own?;
        written(&call, root, pair[0])?;

        let padded = is_root.then(|| {
            let longest = longest(&own);
            let rows = own.into_iter().flat_map(|mut bytes| {
                bytes.resize(longest, 0);
                bytes
            });
            Tensor::from_slice(&rows.collect::<Vec<u8>>())
        });
        let bytes = self.begin_scatter(call, blank(&call, pair[1])?, padded.as_ref(), root)?.wait()?;
        decode(&call, root, &call.torch(bytes.f_narrow(0, 0, pair[0]))?)
    }
}

fn encode<T: Serialize>(call: &Call, value: &T) -> Result<Vec<u8>> {
    // With the names of fields: what serde skips or flattens reads back.
    rmp_serde::to_vec_named(value).map_err(|error| Error::Object {
        operation: call.operation,
        message: format!("rank {}'s value cannot be written: {error}", call.rank),
    })
}

fn length(bytes: &Result<Vec<u8>>) -> i64 {
    bytes.as_ref().map_or(NOT_WRITTEN, |bytes| bytes.len() as i64)
}

fn written(call: &Call, rank: usize, length: i64) -> Result<()> {
    if length >= 0 {
        return Ok(());
    }
    let message = format!("rank {rank}'s value cannot be written; its own error says why");
    Err(Error::Object { operation: call.operation, message })
}

fn blank(call: &Call, length: i64) -> Result<Tensor> {
    call.torch(Tensor::f_zeros([length], (Kind::Uint8, tch::Device::Cpu)))
}

fn decode<T: DeserializeOwned>(call: &Call, rank: usize, bytes: &Tensor) -> Result<T> {
    let bytes = call.torch(Vec::<u8>::try_from(&elements::dense(bytes, call)?))?;
    rmp_serde::from_slice(&bytes).map_err(|error| Error::Object {
        operation: call.operation,
        message: format!(
            "rank {rank}'s value is no {}: {error}; let every rank use the same type",
            std::any::type_name::<T>()
        ),
    })
}
