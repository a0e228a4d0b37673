//! Weights of a file into a model: all of them, or a part, under other names.
//!
//! | file | from | read |
//! |---|---|---|
//! | `.safetensors` | Hugging Face, or a checkpoint of a run | one tensor at a time |
//! | `.pt`, `.pth`, `.bin` | `torch.save(model.state_dict(), …)` since PyTorch 1.6 | one storage at a time; the pickle in it is read and never run |
//!
//! Which of the two a file is, its first bytes say.
//!
//! ```no_run
//! use trainloop::prelude::*;
//! use trainloop::weights::Weights;
//! # struct Net;
//! # impl Net { fn new(_: &tch::nn::Path<'_>) -> Self { Self } }
//!
//! # fn train(ctx: &mut Context) -> Result<()> {
//! let mut model = ctx.prepare_model(Net::new)?;
//! let report = Weights::open("resnet18.pt")?
//!     .rename("fc.*", "head.*")
//!     .ignore("*.num_batches_tracked")
//!     .load_partial(&mut model)?;
//! println!("{report}"); // how many were loaded, which are missing, which were not asked for
//! # Ok(())
//! # }
//! ```
//!
//! With several workers every rank reads the file, so that the replicas stay alike.

mod pt;
mod report;
mod rules;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tch::nn::VarStore;
use tch::{Kind, Tensor};

pub use report::LoadReport;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::strategy::Model;
use rules::{Named, Rule, Rules};
use source::Source;

/// What has variables that weights can be loaded into: a [`Model`], or a [`VarStore`] of tch's.
#[diagnostic::on_unimplemented(
    message = "no weights can be loaded into `{Self}`",
    label = "give a model from `ctx.prepare_model`, or a `tch::nn::VarStore`"
)]
pub trait Target {
    /// The parameters and buffers, by name.
    fn variables(&self) -> BTreeMap<String, Tensor>;
}

impl<N> Target for Model<N> {
    fn variables(&self) -> BTreeMap<String, Tensor> {
        self.vars().variables().into_iter().collect()
    }
}

impl Target for VarStore {
    fn variables(&self) -> BTreeMap<String, Tensor> {
        Self::variables(self).into_iter().collect()
    }
}

/// A file of named tensors that has been opened, and how it is to be loaded.
///
/// [`load`](Self::load) wants every name of the model, and no other, in the file; [`load_partial`](Self::load_partial) takes
/// what there is and reports the rest. A tensor of another shape than the model's is an error in both, and one of another
/// dtype, too, unless it is to be [cast](Self::cast). Everything is compared before the model is changed.
#[derive(Debug)]
#[must_use = "nothing is loaded before `load` or `load_partial`"]
pub struct Weights {
    source: Source,
    rules: Rules,
    cast: bool,
}

impl Weights {
    /// Opens a file and reads the names, shapes and dtypes in it.
    ///
    /// In a `.pt` file dictionaries in dictionaries are paths: what `torch.save({"model": state_dict, "epoch": 3}, …)` wrote
    /// has names such as `model.fc.weight`, of which [`under`](Self::under) takes the first part off. What is no tensor has
    /// no name.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read. [`Error::DataFile`] where it is damaged or neither of the two kinds; where a
    /// `.pt` file holds anything but tensors and plain values: it is named, and not run.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Source::open(path.as_ref()).map(Self::of)
    }

    /// Those of a part of a run's checkpoint: `of_checkpoint(&checkpoint, "model")` for the state's field `model`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the checkpoint has no such part, with the names of those that there are; those of
    /// [`open`](Self::open).
    pub fn of_checkpoint(checkpoint: &Checkpoint, part: &str) -> Result<Self> {
        Self::open(checkpoint.safetensors_file(part)?)
    }

    fn of(source: Source) -> Self {
        Self { source, rules: Rules::default(), cast: false }
    }

    /// Gives names another form: each that `from` matches becomes `to`, where the *n*-th `*` is what the *n*-th of `from` stood
    /// for. `*` is any text, dots included: `rename("module.*", "*")` takes the prefix of PyTorch's DDP off,
    /// `rename("layers.*.attn.*", "blocks.*.attention.*")` changes the two words.
    ///
    /// Renamings, also [`under`](Self::under) and [`ignore`](Self::ignore), work one after the other, each on what the one
    /// before has left.
    pub fn rename(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.rules.push(Rule::rename(from, to));
        self
    }

    /// [`rename`](Self::rename) by a function from each name to its new one.
    ///
    /// ```no_run
    /// # fn main() -> trainloop::Result<()> {
    /// # use trainloop::weights::Weights;
    /// # let mut vars = tch::nn::VarStore::new(tch::Device::Cpu);
    /// Weights::open("old.safetensors")?.rename_with(|name| name.replace("gamma", "weight")).load(&mut vars)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_with(mut self, rename: impl Fn(&str) -> String + 'static) -> Self {
        self.rules.push(Rule::RenameWith(Box::new(rename)));
        self
    }

    /// Takes the names that begin with `prefix` and a dot, without these; the others count as not there.
    pub fn under(mut self, prefix: impl Into<String>) -> Self {
        self.rules.push(Rule::Under(prefix.into()));
        self
    }

    /// Leaves out the names that the pattern matches: they are neither loaded nor unexpected.
    pub fn ignore(mut self, pattern: impl Into<String>) -> Self {
        self.rules.push(Rule::ignore(pattern));
        self
    }

    /// Converts numbers of another floating-point dtype to that of the model. A whole number or a boolean is never converted.
    pub fn cast(mut self) -> Self {
        self.cast = true;
        self
    }

    /// Every name in the file as it is there, with its shape and dtype, sorted.
    #[must_use]
    pub fn layouts(&self) -> BTreeMap<String, (Vec<i64>, Kind)> {
        self.source.layouts()
    }

    /// Loads every variable of `target`.
    ///
    /// # Errors
    /// [`Error::DataFile`], and nothing is changed, where the model asks for a name that the file lacks, or lacks one that
    /// the file has; where shapes or dtypes differ, with both; where a pattern matches nothing, with the nearest names; where
    /// two names become one. [`Error::Io`] and [`Error::DataFile`] where the numbers cannot be read or are damaged: some
    /// variables may be new then.
    pub fn load(self, target: &mut impl Target) -> Result<()> {
        self.load_into(target, true).map(drop)
    }

    /// Loads the variables of `target` that the file has. The others stay as they are, and are in the report.
    ///
    /// ```no_run
    /// # fn main() -> trainloop::Result<()> {
    /// # use trainloop::weights::Weights;
    /// # let mut vars = tch::nn::VarStore::new(tch::Device::Cpu);
    /// let report = Weights::open("backbone.safetensors")?.rename("*", "backbone.*").load_partial(&mut vars)?;
    /// assert!(report.missing.iter().all(|name| name.starts_with("head.")), "{report}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`load`](Self::load), but for names that are on one side alone; where there is no name on both sides.
    pub fn load_partial(self, target: &mut impl Target) -> Result<LoadReport> {
        self.load_into(target, false)
    }

    fn load_into(self, target: &impl Target, is_strict: bool) -> Result<LoadReport> {
        let Self { source, rules, cast } = self;
        let path = source.path().to_owned();
        let refuse = |reason: String| Error::data_file(&path, reason);
        let mut variables = target.variables();
        let layouts = source.layouts();
        let named = rules.apply(layouts.keys()).map_err(refuse)?;
        let report = LoadReport::of(&named, &variables);
        report.check(is_strict).map_err(refuse)?;
        let mut wanted = BTreeMap::new();
        for Named { original, name } in named {
            let Some(variable) = variables.remove(&name) else { continue };
            check_layout(&name, &layouts[&original], &variable, cast).map_err(refuse)?;
            wanted.insert(original, variable);
        }
        let originals: BTreeSet<String> = wanted.keys().cloned().collect();
        source.read(&originals, &mut |name, tensor| {
            let Some(variable) = wanted.get_mut(name) else { return Ok(()) };
            Ok(tch::no_grad(|| variable.f_copy_(tensor)).map(drop)?)
        })?;
        Ok(report)
    }
}

fn check_layout(name: &str, (shape, kind): &(Vec<i64>, Kind), variable: &Tensor, cast: bool) -> Result<(), String> {
    let (own_shape, own_kind) = (variable.size(), variable.kind());
    if *shape != own_shape {
        return Err(format!(
            "`{name}` has the shape {shape:?}, and {own_shape:?} in the model; build the model with that size, or leave the \
             name out with `.ignore(\"{name}\")`"
        ));
    }
    if *kind == own_kind {
        return Ok(());
    }
    let words = format!("`{name}` is of dtype {}, and {} in the model", kind_name(*kind), kind_name(own_kind));
    match (is_float(*kind) && is_float(own_kind), cast) {
        (true, true) => Ok(()),
        (true, false) => Err(format!("{words}; `.cast()` converts it")),
        (false, _) => Err(format!("{words}, and only floating-point numbers are converted")),
    }
}

/// Can numbers of this dtype become those of another such one?
pub(crate) fn is_float(kind: Kind) -> bool {
    matches!(kind, Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double)
}

fn kind_name(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}
