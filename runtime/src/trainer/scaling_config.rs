//! How many workers run, on what.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Workers;
use super::policy::scaling;
use crate::controller;
use crate::error::{Error, Result};
use crate::launch::Placement;

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
    pub(crate) heartbeat: Option<Heartbeat>,
    pub(crate) report_timeout: Option<Duration>,
    pub(crate) slots_file: Option<PathBuf>,
    /// Of the workers, those on this machine, where an engine has started them.
    pub(crate) local_workers: Option<usize>,
    pub(crate) warm_spares: Option<bool>,
}

/// How often a worker says that it is alive, and for how long it may say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    pub(crate) every: Duration,
    pub(crate) timeout: Duration,
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

    /// How often each worker says that it is alive, from a thread of its own, and for how long nothing may be heard of it
    /// before it has failed; every second and for a minute unless said otherwise. This finds a process that is stopped, or
    /// a machine that hangs; a loop that computes for hours without a word is alive. With `Duration::MAX` as the timeout
    /// nobody is waited for with impatience, as a debugger needs it.
    #[must_use]
    pub fn heartbeat(mut self, every: Duration, timeout: Duration) -> Self {
        self.heartbeat = Some(Heartbeat { every, timeout });
        self
    }

    /// How long each rank may take from one report to the next, or to its loop's end, the first counted from its beginning; any time
    /// unless said otherwise. The rank that the others wait for is named, with what each rank last did.
    #[must_use]
    pub fn report_timeout(mut self, timeout: Duration) -> Self {
        self.report_timeout = Some(timeout);
        self
    }

    /// A file that holds the number of workers there is room for, in place of the number of cores. It is for a
    /// [range](Self::workers) of workers, and is watched while the group runs: where it says another number, the ranks save
    /// and stop after one step, and the next generation has as many workers as there is room for, from that checkpoint. A
    /// worker that is killed while the file says that its slot is gone is no failure.
    ///
    /// A loop can be asked to stop where it calls [`ctx.step`](crate::worker::Context::step) or
    /// [`ctx.report_with`](crate::worker::Context::report_with). Write the file whole: give its name to another file.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// let scaling = ScalingConfig::workers(2..=8).slots_file("slots");
    /// ```
    #[must_use]
    pub fn slots_file(mut self, path: impl AsRef<Path>) -> Self {
        self.slots_file = Some(path.as_ref().to_owned());
        self
    }

    /// Whether processes are kept ready for the next generation, one for each worker; on unless said otherwise.
    ///
    /// They are started, one after the other, once the loops run, and only where another generation may follow: failures are
    /// [allowed](crate::trainer::FailureConfig), or the group follows a [file](Self::slots_file). Such a process has loaded
    /// the program and libtorch, and waits: it is in no group, and holds no port, no file of the run and nothing of a GPU.
    /// When the group starts again it becomes a worker at once, which saves the time to load libtorch.
    ///
    /// What each costs is measured, and noted where [progress](crate::trainer::RunConfig::progress) is shown: some
    /// 60 MiB of memory of its own, with libtorch for the CPU. All of them together take at most an eighth of
    /// the memory that is free when they are started, that of the control group included; where memory becomes short
    /// afterwards, the kernel is asked to end them before anything else.
    ///
    /// A worker that was a spare has the environment and the working directory that the driver had when the spare was
    /// started.
    ///
    /// ```no_run
    /// # use trainloop::prelude::*;
    /// let scaling = ScalingConfig::workers(8).warm_spares(false);
    /// ```
    #[must_use]
    pub fn warm_spares(mut self, warm_spares: bool) -> Self {
        self.warm_spares = Some(warm_spares);
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
            heartbeat: self.heartbeat.or(defaults.heartbeat),
            report_timeout: self.report_timeout.or(defaults.report_timeout),
            slots_file: self.slots_file.or_else(|| defaults.slots_file.clone()),
            local_workers: self.local_workers.or(defaults.local_workers),
            warm_spares: self.warm_spares.or(defaults.warm_spares),
        }
    }

    /// As many workers as an engine has started, one for each of its ranks.
    pub(crate) fn under(mut self, placement: &Placement) -> Result<Self> {
        let Placement { engine, world_size, .. } = placement;
        let asked = self.asked();
        // Where nothing is said of workers, there are as many as ranks.
        if self.workers.is_some() && asked.most() == 0 {
            return Err(Error::config(format!(
                "{engine} has started {world_size} ranks, and the loop is to run in this process (`workers(0)`); ask for \
                 {world_size} workers, or start the program without {engine} (TRAINLOOP_LAUNCHER=none says that it is no rank)"
            )));
        }
        if let Some(file) = &self.slots_file {
            return Err(Error::config(format!(
                "{} cannot say how many workers there is room for, as {engine} has started them; leave `slots_file` out",
                file.display()
            )));
        }
        if asked.least() < asked.most() && !(asked.least()..=asked.most()).contains(world_size) {
            return Err(Error::config(format!(
                "{engine} has started {world_size} ranks, and {}..={} workers are asked for; start as many",
                asked.least(),
                asked.most()
            )));
        }
        self.workers = Some((*world_size).into());
        self.local_workers = Some(placement.local_world_size);
        Ok(self)
    }

    /// The number, or the range, of workers.
    pub(crate) fn asked(&self) -> Workers {
        self.workers.unwrap_or(Workers::from(0))
    }

    /// How many workers the next generation has; 0 where the loop runs in the driver.
    pub(crate) fn next_generation(&self) -> Result<usize> {
        scaling::workers(self.asked(), || self.slots())
    }

    /// How many workers a group of `running` should have now, where that is another number.
    pub(crate) fn resized(&self, running: usize) -> Result<Option<usize>> {
        scaling::resize(self.asked(), running, self.slots()?)
    }

    /// How many workers there is room for.
    fn slots(&self) -> Result<usize> {
        let said = self.slots_file.as_deref().map(controller::slots).transpose()?;
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        Ok(match (said, self.uses_gpu()) {
            (Some(said), true) => said.min(gpus()),
            (None, true) => gpus(),
            (Some(said), false) => said,
            (None, false) => cores(),
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

    pub(crate) fn has_spares(&self) -> bool {
        self.warm_spares.unwrap_or(true)
    }

    pub(crate) fn start_within(&self) -> Duration {
        self.start_timeout.unwrap_or(Duration::from_secs(120))
    }

    pub(crate) fn collective_within(&self) -> Duration {
        self.collective_timeout.unwrap_or(Duration::from_secs(600))
    }

    pub(crate) fn beats(&self) -> Heartbeat {
        self.heartbeat.unwrap_or(Heartbeat { every: Duration::from_secs(1), timeout: Duration::from_secs(60) })
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let Heartbeat { every, timeout } = self.beats();
        if every < Duration::from_millis(1) || every >= timeout {
            return Err(Error::config(format!(
                "a heartbeat every {every:?} with a timeout of {timeout:?} cannot be: it beats at most every millisecond, and \
                 several times within the timeout"
            )));
        }
        if self.report_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(Error::config("a report timeout of zero lets no rank report; give it a duration"));
        }
        if let Some(file) = self.slots_file.as_ref().filter(|_| self.asked().least() == self.asked().most()) {
            return Err(Error::config(format!(
                "{} says how many workers there is room for, and an exact number of them is asked for; ask for a range, such \
                 as `ScalingConfig::workers(2..=8)`, or leave the file out",
                file.display()
            )));
        }
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
            let (wanted, found) = (self.local_workers.unwrap_or(workers).max(1), gpus());
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
    fn ranges_of_no_number_are_refused() {
        #[allow(clippy::reversed_empty_ranges)]
        for workers in [ScalingConfig::workers(8..=2), ScalingConfig::workers(0..=4)] {
            let error = workers.validate().unwrap_err().to_string();
            assert!(error.contains("the range of workers"), "{error}");
        }
    }

    #[test]
    fn what_is_said_later_counts_and_the_rest_stays() {
        let defaults = ScalingConfig::workers(2).use_gpu(true).warm_spares(false).start_timeout(Duration::from_secs(7));
        let over = ScalingConfig::workers(3).over(&defaults);
        assert_eq!(over, defaults.with_workers(3));
    }

    #[test]
    fn a_file_of_slots_is_for_a_range() {
        let error = ScalingConfig::workers(2).slots_file("slots").validate().unwrap_err().to_string();
        assert!(error.contains("ask for a range"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "5").unwrap();
        let scaling = ScalingConfig::workers(2..=8).slots_file(file.path());
        scaling.validate().unwrap();
        assert_eq!((scaling.next_generation().unwrap(), scaling.resized(4).unwrap()), (5, Some(5)));
    }

    #[test]
    fn heartbeats_that_cannot_be_are_refused() {
        let beats = |every, timeout| {
            ScalingConfig::default().heartbeat(Duration::from_millis(every), Duration::from_millis(timeout)).validate()
        };
        beats(100, 1000).unwrap();
        for (every, timeout) in [(0, 1000), (1000, 1000), (0, 0)] {
            let error = beats(every, timeout).unwrap_err().to_string();
            assert!(error.contains("a heartbeat every"), "{error}");
        }
        ScalingConfig::default().report_timeout(Duration::ZERO).validate().unwrap_err();
    }
}
