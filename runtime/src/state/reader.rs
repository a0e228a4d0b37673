//! Hands out the parts of a saved state.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use tch::Tensor;

use super::files::{rank_tensor_file, stem, tensor_file, values_of_rank};
use super::safetensors::{self, TensorFile};
use super::writer::{FIRST_VERSION, VARIANT, VERSION};
use crate::channel::decode;
use crate::error::{Error, Result};

/// Gives the parts of a saved state, each under its field's name.
#[derive(Debug)]
pub struct StateReader<'a> {
    saved: &'a Parts<'a>,
    path: Vec<String>,
    /// Of the layout that is being read.
    version: u32,
}

/// A saved state, and which of its parts were asked for.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) directory: &'a Path,
    pub(super) rank: usize,
    pub(super) world_size: usize,
    /// How many ranks saved it.
    pub(super) saved_world_size: usize,
    pub(super) values: BTreeMap<String, Vec<u8>>,
    /// The parts that have tensors, by the stems of their files.
    pub(super) tensors: BTreeSet<String>,
    /// Likewise those of which any rank has tensors of its own.
    pub(super) rank_tensors: BTreeSet<String>,
    pub(super) taken: RefCell<BTreeSet<String>>,
}

impl Parts<'_> {
    /// What is in the checkpoint and was not asked for.
    pub(super) fn left_over(&self) -> Vec<String> {
        let taken = self.taken.borrow();
        let all: BTreeSet<_> = self.values.keys().chain(&self.tensors).collect();
        all.into_iter().filter(|path| !taken.contains(*path)).cloned().collect()
    }

    /// Is there anything at this place or below it?
    fn has(&self, path: &str) -> bool {
        let below =
            |name: &String| name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.values.keys().any(below) || self.tensors.iter().any(below) || self.rank_tensors.iter().any(below)
    }
}

impl<'a> StateReader<'a> {
    pub(super) fn new(saved: &'a Parts<'a>) -> Self {
        Self { saved, path: Vec::new(), version: FIRST_VERSION }
    }

    /// What `restore` reads lies under `name`.
    ///
    /// # Errors
    /// Those of `restore`.
    pub fn field<T>(&self, name: &str, restore: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        restore(&Self { saved: self.saved, path: self.path_to(name), version: self.version })
    }

    /// Did the state that was saved have something under `name`? A part that gave nothing, as an empty `Vec` of parts, is
    /// not there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.saved.has(&self.path_to(name).join("."))
    }

    /// The version of the layout that is being read: the `#[state(version = …)]` that the struct or enum around this place
    /// had when it was saved, or 1.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What `restore` reads has the version that was given to [`StateWriter::version`](super::StateWriter::version) at this
    /// place, which it finds in [`version`](Self::version). The derive does this by itself.
    ///
    /// # Errors
    /// Where the saved version is over `newest`, and those of `restore`.
    pub fn versioned<T>(&self, newest: u32, restore: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let saved = self.beside(VERSION)?.unwrap_or(FIRST_VERSION);
        if saved > newest {
            return Err(self.error(format!(
                "it was saved with version {saved} of its layout, and this program reads versions up to {newest}; go on \
                 with the program that saved it or a newer one, or begin a new run"
            )));
        }
        restore(&Self { saved: self.saved, path: self.path.clone(), version: saved })
    }

    /// The name of the enum's variant that was saved at this place.
    pub(super) fn variant(&self) -> Result<String> {
        self.beside(VARIANT)?.ok_or_else(|| self.missing("enum variant"))
    }

    /// What was saved beside the fields at this place, under a key that is no field's.
    pub(super) fn beside<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.field(
            key,
            |from| if from.saved.values.contains_key(&from.place()) { from.value().map(Some) } else { Ok(None) },
        )
    }

    /// The plain value at this place.
    ///
    /// # Errors
    /// Where there is none, or serde cannot read it as a `T`.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T> {
        self.take(&self.place());
        self.decoded(&self.saved.values)
    }

    /// Likewise, that of any rank that saved.
    pub(super) fn value_of_rank<T: DeserializeOwned>(&self, rank: usize) -> Result<T> {
        self.decoded(&values_of_rank(self.saved.directory, rank)?)
    }

    fn decoded<T: DeserializeOwned>(&self, values: &BTreeMap<String, Vec<u8>>) -> Result<T> {
        let path = self.place();
        let bytes = values.get(&path).ok_or_else(|| self.missing("value"))?;
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
        safetensors::read(&self.tensors_at_this_place()?)
    }

    /// The file of the named tensors at this place.
    pub(super) fn tensor_file(&self) -> Result<TensorFile> {
        TensorFile::open(&self.tensors_at_this_place()?)
    }

    fn tensors_at_this_place(&self) -> Result<PathBuf> {
        let path = self.place();
        let stem = stem(&path);
        self.take(stem);
        if !self.saved.tensors.contains(stem) {
            return Err(self.missing("set of tensors"));
        }
        Ok(self.saved.directory.join(tensor_file(&path)))
    }

    /// This rank's own named tensors at this place; none where the checkpoint has none of this rank.
    ///
    /// # Errors
    /// Where their file cannot be read.
    pub fn rank_tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        self.rank_tensors_of(self.saved.rank)
    }

    /// Likewise, those of any rank that saved.
    pub(super) fn rank_tensors_of(&self, rank: usize) -> Result<BTreeMap<String, Tensor>> {
        let file = self.saved.directory.join(rank_tensor_file(rank, &self.place()));
        if file.exists() { safetensors::read(&file) } else { Ok(BTreeMap::new()) }
    }

    pub(super) fn saved_world_size(&self) -> usize {
        self.saved.saved_world_size
    }

    /// Was it saved by another number of ranks than restore it?
    pub(super) fn is_of_other_ranks(&self) -> bool {
        self.saved.saved_world_size != self.saved.world_size
    }

    /// An error about the part at this place.
    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        let part = if self.path.is_empty() { "the state".to_owned() } else { format!("`{}`", self.place()) };
        Error::checkpoint(format!("{part} in {}: {message}", self.saved.directory.display()))
    }

    fn place(&self) -> String {
        self.path.join(".")
    }

    fn path_to(&self, name: &str) -> Vec<String> {
        let mut path = self.path.clone();
        path.push(name.to_owned());
        path
    }

    fn take(&self, path: &str) {
        self.saved.taken.borrow_mut().insert(path.to_owned());
    }

    fn missing(&self, what: &str) -> Error {
        let place = if self.path.is_empty() { "at its root".to_owned() } else { format!("`{}`", self.place()) };
        Error::checkpoint(format!(
            "the checkpoint {} has no {what} {place}, which the state asks for; was a field renamed or added since? \
             (`#[state(rename = \"…\")]` keeps an old name, `#[state(alias = \"…\")]` reads one, `#[state(default)]` does \
             without)",
            self.saved.directory.display()
        ))
    }
}
