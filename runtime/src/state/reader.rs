//! Hands out the parts of a saved state.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::de::DeserializeOwned;
use tch::Tensor;

use super::files::rank_tensor_file;
use super::safetensors;
use crate::channel::decode;
use crate::error::{Error, Result};

/// Gives the parts of a saved state, each under its field's name.
#[derive(Debug)]
pub struct StateReader<'a> {
    saved: &'a Parts<'a>,
    path: Vec<String>,
}

/// A saved state, and which of its parts were asked for.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) directory: &'a Path,
    pub(super) rank: usize,
    pub(super) values: BTreeMap<String, Vec<u8>>,
    /// The file of each part that has tensors.
    pub(super) tensors: BTreeMap<String, String>,
    pub(super) taken: RefCell<BTreeSet<String>>,
}

impl Parts<'_> {
    /// What is in the checkpoint and was not asked for.
    pub(super) fn left_over(&self) -> Vec<String> {
        let taken = self.taken.borrow();
        let all: BTreeSet<_> = self.values.keys().chain(self.tensors.keys()).collect();
        all.into_iter().filter(|path| !taken.contains(*path)).cloned().collect()
    }
}

impl<'a> StateReader<'a> {
    pub(super) fn new(saved: &'a Parts<'a>) -> Self {
        Self { saved, path: Vec::new() }
    }

    /// What `restore` reads lies under `name`.
    ///
    /// # Errors
    /// Those of `restore`.
    pub fn field(&self, name: &str, restore: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let mut path = self.path.clone();
        path.push(name.to_owned());
        restore(&Self { saved: self.saved, path })
    }

    /// The plain value at this place.
    ///
    /// # Errors
    /// Where there is none, or serde cannot read it as a `T`.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T> {
        let path = self.take();
        let bytes = self.saved.values.get(&path).ok_or_else(|| self.missing("value", &path))?;
        decode(bytes, "read a value of the state").map_err(|error| {
            Error::checkpoint(format!(
                "`{path}` in {} is not a `{}`: {error}; was the field's type changed?",
                self.saved.directory.display(),
                std::any::type_name::<T>()
            ))
        })
    }

    /// The named tensors at this place, on the CPU.
    ///
    /// # Errors
    /// Where there are none, or their file cannot be read.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let path = self.take();
        let file = self.saved.tensors.get(&path).ok_or_else(|| self.missing("set of tensors", &path))?;
        safetensors::read(&self.saved.directory.join(file))
    }

    /// This rank's own named tensors at this place; none where the checkpoint has none of this rank.
    ///
    /// # Errors
    /// Where their file cannot be read.
    pub fn rank_tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let file = self.saved.directory.join(rank_tensor_file(self.saved.rank, &self.path.join(".")));
        if file.exists() { safetensors::read(&file) } else { Ok(BTreeMap::new()) }
    }

    /// An error about the part at this place.
    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::checkpoint(format!("`{}` in {}: {message}", self.path.join("."), self.saved.directory.display()))
    }

    fn take(&self) -> String {
        let path = self.path.join(".");
        self.saved.taken.borrow_mut().insert(path.clone());
        path
    }

    fn missing(&self, what: &str, path: &str) -> Error {
        Error::checkpoint(format!(
            "the checkpoint {} has no {what} `{path}`, which the state asks for; was a field renamed or added since? \
             (`#[state(rename = \"…\")]` keeps an old name)",
            self.saved.directory.display()
        ))
    }
}
