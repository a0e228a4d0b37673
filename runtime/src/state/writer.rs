//! Collects the parts of a state.

use std::collections::BTreeMap;

use serde::Serialize;
use tch::Tensor;

use crate::channel::encode;
use crate::error::{Error, Result};

/// Where the version of a layout is saved: beside the fields, under a name that none of them can have.
pub(super) const VERSION: &str = "@version";
/// Where the name of an enum's variant is saved.
pub(super) const VARIANT: &str = "@variant";
/// The version of a layout with which none was saved.
pub(super) const FIRST_VERSION: u32 = 1;

/// Takes the parts of a state, each under its field's name.
#[derive(Debug, Default)]
pub struct StateWriter {
    path: Vec<String>,
    pub(super) tensors: BTreeMap<String, Vec<(String, Tensor)>>,
    /// Those that differ between ranks.
    pub(super) rank_tensors: BTreeMap<String, Vec<(String, Tensor)>>,
    pub(super) values: BTreeMap<String, Vec<u8>>,
}

impl StateWriter {
    /// What `save` writes lies under `name`.
    ///
    /// # Errors
    /// Those of `save`.
    pub fn field(&mut self, name: &str, save: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.path.push(name.to_owned());
        let result = save(self);
        self.path.pop();
        result
    }

    /// The version of the layout at this place, for [`StateReader::versioned`](super::StateReader::versioned); without one it
    /// is 1. A derived struct or enum has its own.
    ///
    /// # Errors
    /// Where there is one at this place already.
    pub fn version(&mut self, version: u32) -> Result<()> {
        // The first is never stored: a layout that gets its second has older checkpoints without any.
        if version == FIRST_VERSION { Ok(()) } else { self.field(VERSION, |out| out.value(&version)) }
    }

    /// The name of an enum's variant, at this place.
    pub(super) fn variant(&mut self, name: &str) -> Result<()> {
        self.field(VARIANT, |out| out.value(name))
    }

    /// A plain value, at this place.
    ///
    /// # Errors
    /// Where serde cannot write it, or there is one at this place already.
    pub fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let bytes = encode(&value, "write a value of the state")?;
        let path = self.path.join(".");
        self.values.insert(path, bytes).map_or(Ok(()), |_| Err(self.twice("value")))
    }

    /// Named tensors, at this place: handles, not copies. They are read before the save returns.
    ///
    /// # Errors
    /// Where there are some at this place already.
    pub fn tensors(&mut self, tensors: Vec<(String, Tensor)>) -> Result<()> {
        let path = self.path.join(".");
        self.tensors.insert(path, tensors).map_or(Ok(()), |_| Err(self.twice("set of tensors")))
    }

    /// Named tensors that are each rank's own, such as running means: every rank's are saved, and it gets its own back.
    ///
    /// # Errors
    /// Where there are some at this place already.
    pub fn rank_tensors(&mut self, tensors: Vec<(String, Tensor)>) -> Result<()> {
        let path = self.path.join(".");
        self.rank_tensors.insert(path, tensors).map_or(Ok(()), |_| Err(self.twice("set of tensors")))
    }

    fn twice(&self, what: &str) -> Error {
        Error::checkpoint(format!(
            "two parts of the state give a {what} named `{}`; rename one field with `#[state(rename = \"…\")]`",
            self.path.join(".")
        ))
    }
}
