//! How many workers run, on what.

use std::num::NonZero;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How many workers, on what.
///
/// What is not said here stays as the loop's attribute says, and without that as described at each method.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScalingConfig {
    pub(crate) workers: Option<Workers>,
    pub(crate) use_gpu: Option<bool>,
    pub(crate) backend: Option<Backend>,
    pub(crate) start_timeout: Option<Duration>,
    pub(crate) collective_timeout: Option<Duration>,
}

/// A number of workers, or a range of it: `4.into()`, `(2..=8).into()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    least: usize,
    most: usize,
}

impl From<usize> for Workers {
    fn from(workers: usize) -> Self {
        Self { least: workers, most: workers }
    }
}

impl From<RangeInclusive<usize>> for Workers {
    fn from(workers: RangeInclusive<usize>) -> Self {
        Self { least: *workers.start(), most: *workers.end() }
    }
}

impl Workers {
    pub(crate) fn most(self) -> usize {
        self.most
    }

    /// How many there are where `slots` have room for one each; only a range asks for the room.
    fn in_slots(self, slots: impl FnOnce() -> usize) -> Result<usize> {
        let Self { least, most } = self;
        if least == most {
            return Ok(most);
        }
        let slots = slots();
        if slots < least {
            return Err(Error::config(format!(
                "{least} to {most} workers are asked for, and this machine has room for {slots}; ask for fewer, or for an \
                 exact number, which is started whatever room there is"
            )));
        }
        Ok(most.min(slots))
    }

    fn validate(self) -> Result<()> {
        let Self { least, most } = self;
        let reason = if least > most {
            "no number is in it; begin with the smaller one"
        } else if least == 0 && most > 0 {
            "with 0 workers the loop runs in the driver, which is no number to grow from; begin with 1"
        } else {
            return Ok(());
        };
        Err(Error::config(format!("the range of workers {least}..={most} cannot be used: {reason}")))
    }
}

/// What carries tensors between workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Backend {
    /// libtorch's Gloo, over TCP: tensors of the CPU, and of GPUs by way of it.
    Gloo,
    /// NCCL for tensors of GPUs, and Gloo for those of the CPU. With the feature `nccl`, and
    /// [`use_gpu`](ScalingConfig::use_gpu).
    #[cfg(feature = "nccl")]
    Nccl,
}

impl ScalingConfig {
    /// So many worker processes. With 0, which is what a run has that nobody has said anything of, the loop runs in the
    /// calling process: for tests, and for a debugger. With a range, `2..=8`, each generation of the group has as many as
    /// there are cores (GPUs, with [`use_gpu`](Self::use_gpu)), at least the smallest number.
    #[must_use]
    pub fn workers(workers: impl Into<Workers>) -> Self {
        Self::default().with_workers(workers)
    }

    /// [`workers`](Self::workers) of a config that says other things already.
    #[must_use]
    pub fn with_workers(mut self, workers: impl Into<Workers>) -> Self {
        self.workers = Some(workers.into());
        self
    }

    /// One GPU for each worker.
    #[must_use]
    pub fn use_gpu(mut self, use_gpu: bool) -> Self {
        self.use_gpu = Some(use_gpu);
        self
    }

    /// What carries tensors between workers. Unless said otherwise NCCL where there are GPUs and the feature `nccl` is on,
    /// else Gloo.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// How long workers may take to start and join; 2 minutes unless said otherwise.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = Some(timeout);
        self
    }

    /// How long a collective may wait for the other ranks; 10 minutes unless said otherwise.
    #[must_use]
    pub fn collective_timeout(mut self, timeout: Duration) -> Self {
        self.collective_timeout = Some(timeout);
        self
    }

    /// What is said here, and of the rest what `defaults` says.
    pub(crate) fn over(self, defaults: &Self) -> Self {
        Self {
            workers: self.workers.or(defaults.workers),
            use_gpu: self.use_gpu.or(defaults.use_gpu),
            backend: self.backend.or(defaults.backend),
            start_timeout: self.start_timeout.or(defaults.start_timeout),
            collective_timeout: self.collective_timeout.or(defaults.collective_timeout),
        }
    }

    /// The number, or the range, of workers.
    pub(crate) fn asked(&self) -> Workers {
        self.workers.unwrap_or(Workers { least: 0, most: 0 })
    }

    /// How many workers the next generation has; 0 where the loop runs in the driver.
    pub(crate) fn next_generation(&self) -> Result<usize> {
        self.asked().in_slots(|| {
            if self.uses_gpu() { gpus() } else { std::thread::available_parallelism().map_or(1, NonZero::get) }
        })
    }

    pub(crate) fn uses_gpu(&self) -> bool {
        self.use_gpu.unwrap_or(false)
    }

    pub(crate) fn carrier(&self) -> Backend {
        match self.backend {
            Some(backend) => backend,
            #[cfg(feature = "nccl")]
            None if self.uses_gpu() => Backend::Nccl,
            None => Backend::Gloo,
        }
    }

    pub(crate) fn start_within(&self) -> Duration {
        self.start_timeout.unwrap_or(Duration::from_secs(120))
    }

    pub(crate) fn collective_within(&self) -> Duration {
        self.collective_timeout.unwrap_or(Duration::from_secs(600))
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if self.start_within().is_zero() || self.collective_within().is_zero() {
            return Err(Error::config("a timeout of zero lets no worker join; give it a duration"));
        }
        self.asked().validate()?;
        #[cfg(feature = "nccl")]
        if self.carrier() == Backend::Nccl && !self.uses_gpu() {
            return Err(Error::config(
                "NCCL carries tensors of GPUs, and the workers have none; say `use_gpu` (`--gpu`), or choose Gloo",
            ));
        }
        let workers = self.next_generation()?;
        if self.uses_gpu() {
            let (wanted, found) = (workers.max(1), gpus());
            if found < wanted {
                let wanted = if wanted == 1 { "1 GPU is".to_owned() } else { format!("{wanted} GPUs are") };
                return Err(Error::config(format!(
                    "{wanted} asked for, one for each worker, and libtorch sees {found} on this machine; \
                     leave out `use_gpu` (`--gpu`), ask for fewer workers, or link a libtorch with CUDA"
                )));
            }
        }
        Ok(())
    }
}

fn gpus() -> usize {
    usize::try_from(tch::Cuda::device_count()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_as_many_workers_as_there_is_room_for() {
        let workers = |workers: Workers, slots: usize| workers.in_slots(|| slots);
        assert_eq!(workers(4.into(), 1).unwrap(), 4);
        assert_eq!(workers((2..=8).into(), 5).unwrap(), 5);
        assert_eq!(workers((2..=8).into(), 16).unwrap(), 8);
        let error = workers((4..=8).into(), 2).unwrap_err().to_string();
        assert!(error.contains("4 to 8 workers are asked for, and this machine has room for 2"), "{error}");
    }

    #[test]
    fn ranges_of_no_number_are_refused() {
        #[allow(clippy::reversed_empty_ranges)]
        for workers in [ScalingConfig::workers(8..=2), ScalingConfig::workers(0..=4)] {
            let error = workers.validate().unwrap_err().to_string();
            assert!(error.contains("the range of workers"), "{error}");
        }
    }

    #[test]
    fn what_is_said_later_counts_and_the_rest_stays() {
        let defaults = ScalingConfig::workers(2).use_gpu(true).start_timeout(Duration::from_secs(7));
        let over = ScalingConfig::workers(3).over(&defaults);
        assert_eq!(over, ScalingConfig::workers(3).use_gpu(true).start_timeout(Duration::from_secs(7)));
    }
}
