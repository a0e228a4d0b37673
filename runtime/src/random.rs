//! Randomness: seeds, the states of libtorch's generators, and algorithms without chance.
//!
//! - [`seed_everything`]: libtorch's generators begin anew;
//! - [`Generators`]: their states, in a checkpoint;
//! - [`set_determinism`]: the same numbers from every run on the same machine.

use serde::{Deserialize, Serialize};
use tch::{Cuda, Device, Tensor};

use crate::c10d::aten;
use crate::error::{Error, Result};
use crate::state::{StateReader, StateWriter, TrainState};

/// Seeds libtorch's generators: the one of the CPU and those of all CUDA devices. Initial weights, dropout and other random
/// numbers of libtorch follow from it: PyTorch's `torch.manual_seed`.
///
/// Call it in the loop, before the model is built: a worker is a process of its own. Where ranks should draw different
/// numbers, as for dropout, add the rank to the seed; the model's parameters are rank 0's anyway.
///
/// The order of a [`DataLoader`](crate::data::DataLoader) follows from its own seed. A generator of another crate, such as
/// one of `rand` in a dataset, is not touched.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use trainloop::random::seed_everything;
///
/// seed_everything(17);
/// let first = Tensor::rand([3], (Kind::Float, Device::Cpu));
/// seed_everything(17);
/// assert_eq!(first, Tensor::rand([3], (Kind::Float, Device::Cpu)));
/// ```
pub fn seed_everything(seed: u64) {
    // libtorch takes the same 64 bits.
    tch::manual_seed(seed.cast_signed());
}

/// The states of libtorch's generators, as a part of a state that is saved: the one of the CPU and, where the rank has a
/// CUDA device, that device's. Each rank gets its own back.
///
/// A checkpoint always holds the CPU's. So this part is for a loop on GPUs that draws random numbers there, as for dropout.
/// It has no state of its own: saving reads the generators, restoring sets them.
///
/// ```no_run
/// use trainloop::prelude::*;
/// use trainloop::random::Generators;
/// # use tch::nn::Linear;
///
/// #[derive(TrainState)]
/// struct State {
///     model: Model<Linear>,
///     generators: Generators, // Generators::of(ctx.device())
/// }
/// # fn main() {}
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generators {
    cuda: Option<usize>,
}

/// The states of the generators at one moment; from [`Generators::state`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorsState {
    /// The CPU's, as bytes.
    pub cpu: Vec<u8>,
    /// The CUDA device's, as bytes; none where the rank had no such device.
    pub cuda: Option<Vec<u8>>,
}

impl Generators {
    /// The generators that computing on `device` draws from: the CPU's, and a CUDA device's own.
    #[must_use]
    pub fn of(device: Device) -> Self {
        Self { cuda: if let Device::Cuda(index) = device { Some(index) } else { None } }
    }

    /// The states now.
    ///
    /// # Errors
    /// [`Error::C10d`] where there is no such CUDA device.
    pub fn state(&self) -> Result<GeneratorsState> {
        let bytes = |state: Tensor| -> Result<Vec<u8>> { Ok(Vec::try_from(&state)?) };
        Ok(GeneratorsState {
            cpu: bytes(aten::cpu_generator_state()?)?,
            cuda: self.cuda.map(|device| bytes(aten::cuda_generator_state(device)?)).transpose()?,
        })
    }

    /// Puts the generators back: the same numbers follow as after [`state`](Self::state). A CUDA generator is left alone
    /// where the state has none of it, and a state's is left out where this rank has no such device.
    ///
    /// # Errors
    /// [`Error::C10d`] where the bytes are no state of the generator.
    pub fn load_state(&self, state: &GeneratorsState) -> Result<()> {
        // What libtorch refuses is the CUDA state's length; the CPU's generator is as it was then.
        if let (Some(device), Some(bytes)) = (self.cuda, &state.cuda) {
            aten::set_cuda_generator_state(device, &Tensor::f_from_slice(bytes)?)?;
        }
        aten::set_cpu_generator_state(&Tensor::f_from_slice(&state.cpu)?)?;
        Ok(())
    }
}

impl TrainState for Generators {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.value(&self.state()?)
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        let state = from.value()?;
        self.load_state(&state).map_err(|error| from.error(error))
    }
}

/// What libtorch does about operations whose numbers may differ from run to run; see [`set_determinism`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Determinism {
    /// Nothing: the fastest algorithm is taken.
    #[default]
    Off,
    /// An algorithm without chance is taken where there is one, and where there is none libtorch warns on standard error.
    Warn,
    /// An algorithm without chance is taken where there is one, and where there is none the operation is an error.
    Require,
}

/// Has libtorch choose algorithms that give the same numbers from the same input, every time: PyTorch's
/// `torch.use_deterministic_algorithms`. It counts for the whole process, so for each worker that calls it.
///
/// It covers libtorch's operations and cuDNN's convolutions. On GPUs with CUDA 10.2 and later, cuBLAS needs the environment
/// variable `CUBLAS_WORKSPACE_CONFIG=:4096:8` (or `:16:8`) besides, set before the process starts; without it [`Require`]
/// makes matrix products an error. New memory is filled with NaN, so that what reads it before it is written is the same
/// every time, too.
///
/// It covers neither seeds, for which there is [`seed_everything`], nor code outside of libtorch, nor
/// `tch::Cuda::cudnn_set_benchmark`, which may choose another algorithm each time: leave it off. Numbers may still differ
/// between machines, versions of libtorch, and counts of workers or threads.
///
/// [`Require`]: Determinism::Require
///
/// ```
/// use trainloop::random::{Determinism, determinism, set_determinism};
///
/// # fn main() -> trainloop::Result<()> {
/// set_determinism(Determinism::Require)?;
/// assert_eq!(determinism(), Determinism::Require);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Config`] where it is required, there is a CUDA device, and `CUBLAS_WORKSPACE_CONFIG` is not one of the two
/// values; nothing is changed then.
pub fn set_determinism(determinism: Determinism) -> Result<()> {
    if determinism == Determinism::Require && Cuda::device_count() > 0 {
        let config = std::env::var("CUBLAS_WORKSPACE_CONFIG").ok();
        check_workspace(config.as_deref())?;
    }
    aten::set_deterministic_algorithms(determinism != Determinism::Off, determinism == Determinism::Warn)?;
    Ok(())
}

/// What [`set_determinism`] has set.
#[must_use]
pub fn determinism() -> Determinism {
    match aten::deterministic_algorithms() {
        (false, _) => Determinism::Off,
        (true, true) => Determinism::Warn,
        (true, false) => Determinism::Require,
    }
}

/// Refuses what cuBLAS would refuse in the middle of the training.
fn check_workspace(config: Option<&str>) -> Result<()> {
    if matches!(config, Some(":4096:8" | ":16:8")) {
        return Ok(());
    }
    let found = config.map_or_else(|| "is not set".to_owned(), |config| format!("is `{config}`"));
    Err(Error::config(format!(
        "determinism is required, and the environment variable CUBLAS_WORKSPACE_CONFIG {found}; start the process with \
         CUBLAS_WORKSPACE_CONFIG=:4096:8, without which cuBLAS gives no promise"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cublas_needs_one_of_its_two_workspaces() {
        assert!(check_workspace(Some(":4096:8")).is_ok() && check_workspace(Some(":16:8")).is_ok());
        let text = check_workspace(Some(":0:0")).unwrap_err().to_string();
        assert!(text.contains("CUBLAS_WORKSPACE_CONFIG is `:0:0`; start the process with"), "{text}");
        assert!(check_workspace(None).unwrap_err().to_string().contains("is not set"));
    }
}
