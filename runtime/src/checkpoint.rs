//! A committed checkpoint, as a user holds it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::Value;
use tch::{Device, Tensor, nn};
use trainloop_checkpoint::{MANIFEST, Manifest, verify};

use crate::error::{Error, Result};
use crate::metric::Metrics;
use crate::state::{self, Reader, TrainState};
use crate::strategy::Model;
use crate::trainer::Beside;
use crate::weights::Weights;
use crate::worker::activity;

/// A committed checkpoint: a directory whose files are those that its manifest lists, checksums and all.
///
/// ```no_run
/// # use trainloop::prelude::*;
/// # fn inspect() -> Result<()> {
/// let checkpoint = Checkpoint::from_directory("runs/digits/checkpoints/checkpoint_000003")?;
/// let files = checkpoint.as_directory(|directory| std::fs::read_dir(directory).map(Iterator::count))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Checkpoint {
    directory: PathBuf,
    manifest: Manifest,
    reader: Reader,
    /// The context's count of steps, which a restore puts back.
    steps: Option<Rc<Cell<u64>>>,
}

impl Checkpoint {
    /// Opens the checkpoint in a directory and compares every file with its checksum.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the directory has no manifest, or a file is missing or damaged: it is named.
    pub fn from_directory(directory: impl AsRef<Path>) -> Result<Self> {
        let directory = directory.as_ref().to_owned();
        let manifest = verify(&directory)?;
        let reader = Reader { rank: 0, world_size: 1, device: Device::Cpu };
        Ok(Self { directory, manifest, reader, steps: None })
    }

    /// The checkpoint that the driver has found whole.
    pub(crate) fn for_rank(directory: &Path, reader: Reader, steps: Rc<Cell<u64>>) -> Result<Self> {
        let manifest = Manifest::read(directory)?;
        Ok(Self { directory: directory.to_owned(), manifest, reader, steps: Some(steps) })
    }

    /// As the rank of a run reads it.
    pub(crate) fn seen_by(self, beside: Beside) -> Self {
        Self { reader: beside.reader, steps: Some(beside.steps), ..self }
    }

    /// Fills `state`, and puts back libtorch's random generator and, where it comes from
    /// [`Context::checkpoint`](crate::worker::Context::checkpoint), the count of steps.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the state has other parts than the one that was saved, with their names; where a tensor
    /// has another shape or dtype; where the checkpoint was made of [`Files`](crate::worker::Files).
    pub fn restore<S: TrainState>(&self, state: &mut S) -> Result<()> {
        let steps = state::restore(state, &self.directory, self.reader)?;
        if let Some(cell) = &self.steps {
            cell.set(steps);
            activity::steps(steps);
        }
        Ok(())
    }

    /// The tensors of one `.safetensors` file, by name and on the CPU: `load_safetensors("model")` gives the parameters and
    /// buffers of the state's field `model`, without a state, for inference or to look at.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// # fn main() -> Result<()> {
    /// let checkpoint = Checkpoint::from_directory("runs/digits/checkpoints/checkpoint_000003")?;
    /// for (name, tensor) in checkpoint.load_safetensors("model")? {
    ///     println!("{name}: {:?}", tensor.size());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where there is no such file, with the names of those that there are, or it cannot be read.
    pub fn load_safetensors(&self, name: &str) -> Result<BTreeMap<String, Tensor>> {
        state::read_safetensors(&self.safetensors_file(name)?)
    }

    /// A net with the weights of the state's field `part`, for inference: no trainer, no worker and no optimizer is needed,
    /// and neither is the type of the state. `build` makes the net as the loop did. Parameters and buffers have the dtypes
    /// that were saved, whatever `build` gives them.
    ///
    /// ```no_run
    /// # use tch::Tensor;
    /// # use trainloop::prelude::*;
    /// # fn main() -> Result<()> {
    /// let checkpoint = trainloop::trainer::best_checkpoint("runs/digits")?;
    /// let model = checkpoint.load_model("model", Device::cuda_if_available(), |path| {
    ///     tch::nn::linear(path, 64, 10, Default::default())
    /// })?;
    /// # let images = Tensor::new();
    /// let logits = tch::no_grad(|| model.call(|net| images.apply(net)))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where there is no such part, with the names of those that there are; [`Error::DataFile`] where
    /// the net has other names or shapes than the one that was saved. [`Weights`] loads into a net that differs.
    pub fn load_model<N>(
        &self,
        part: &str,
        device: Device,
        build: impl FnOnce(&nn::Path<'_>) -> N,
    ) -> Result<Model<N>> {
        let weights = Weights::of_checkpoint(self, part)?;
        let mut model = Model::alone(device, build);
        model.set_kinds(&weights.layouts());
        weights.load(&mut model)?;
        Ok(model)
    }

    /// The file of a part's tensors.
    pub(crate) fn safetensors_file(&self, name: &str) -> Result<PathBuf> {
        let file = format!("{name}.safetensors");
        let files = || self.manifest.files.iter().map(|entry| entry.path.as_str());
        if files().any(|path| path == file) {
            return Ok(self.directory.join(file));
        }
        let names: Vec<_> = files().filter_map(|path| path.strip_suffix(".safetensors")).collect();
        Err(Error::checkpoint(format!(
            "the checkpoint {} has no `{file}`; there {}",
            self.directory.display(),
            if names.is_empty() { "is none of that kind".to_owned() } else { format!("is: `{}`", names.join("`, `")) }
        )))
    }

    /// Lends the directory, to read from.
    pub fn as_directory<T>(&self, read: impl FnOnce(&Path) -> T) -> T {
        read(&self.directory)
    }

    /// Copies the checkpoint to `target`, which must not exist.
    ///
    /// # Errors
    /// [`Error::Io`] where it exists or cannot be written.
    pub fn to_directory(&self, target: impl AsRef<Path>) -> Result<()> {
        let target = target.as_ref();
        std::fs::create_dir(target).map_err(Error::io("create the folder", target))?;
        let names = self.manifest.files.iter().map(|entry| entry.path.as_str());
        for name in names.chain([MANIFEST]) {
            let (from, to) = (self.directory.join(name), target.join(name));
            if let Some(folder) = to.parent() {
                std::fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
            }
            std::fs::copy(&from, &to).map_err(Error::io("copy to", &to))?;
        }
        Ok(())
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Its number in the run, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.manifest.index
    }

    /// How many workers made it.
    #[must_use]
    pub fn world_size(&self) -> usize {
        self.manifest.world_size
    }

    /// When it was made, in seconds since 1970.
    #[must_use]
    pub fn created_unix(&self) -> f64 {
        self.manifest.created_unix
    }

    /// How many reports had been made, the one that it came with included.
    #[must_use]
    pub fn reports(&self) -> u64 {
        self.manifest.report
    }

    /// The metrics that it came with; `None` where it was made by `ctx.step`.
    ///
    /// # Errors
    /// [`Error::Serde`] where they are not an `M`.
    pub fn metrics<M: Metrics>(&self) -> Result<Option<M>> {
        match &self.manifest.metrics {
            Value::Null => Ok(None),
            metrics => M::from_record(metrics.clone()).map(Some),
        }
    }
}
