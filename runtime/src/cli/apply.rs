//! What the command line gives the trainer.

use super::{Cli, RunOptions};
use crate::trainer::{FailureConfig, Resume, TorchTrainer, TrainLoop};

impl<L: TrainLoop> TorchTrainer<L> {
    /// Takes what the command line says of the run: `--workers`, `--gpu`, `--storage`, `--name`, `--resume`,
    /// `--max-failures`, `--quiet` and `--verbose`. What it does not say stays as it was, so this goes after
    /// [`scaling`](Self::scaling) and [`run`](Self::run). The config is not touched: [`new`](Self::new) has it.
    pub fn command_line<C>(mut self, cli: &Cli<C>) -> Self {
        let RunOptions { workers, gpu, storage, name, resume, max_failures, verbosity } = cli.run.clone();
        if let Some(workers) = workers {
            self.scaling.workers = Some(workers.into());
        }
        if let Some(gpu) = gpu {
            self.scaling.use_gpu = Some(gpu);
        }
        if let Some(storage) = storage {
            self.run.storage = Some(storage);
        }
        if let Some(name) = name {
            self.run.name = Some(name);
        }
        if resume {
            self.run.resume = Some(Resume::Require);
        }
        if let Some(failures) = max_failures {
            self.run.failure = Some(FailureConfig::max_failures(failures));
        }
        if let Some(verbosity) = verbosity {
            self.run.verbosity = Some(verbosity);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::cli::Config;
    use crate::error::{BoxError, Result};
    use crate::strategy::Strategy;
    use crate::trainer::{RunConfig, ScalingConfig, Verbosity};
    use crate::worker::Seat;

    enum Nothing {}

    #[derive(Config, Serialize, Deserialize, Clone)]
    #[config(crate = crate)]
    struct Unit;

    impl TrainLoop for Nothing {
        type Config = ();
        type Metrics = ();
        type Output = ();

        const NAME: &'static str = "nothing";
        const STRATEGY: Strategy = Strategy::Ddp;

        fn call(_: Seat) -> Result<Vec<u8>, BoxError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn only_what_was_given_changes() {
        let scaling = || ScalingConfig::workers(2).use_gpu(true).start_timeout(Duration::from_secs(7));
        let run = || RunConfig::named("mine").storage("here").progress(false);
        let applied = |options: RunOptions| {
            let cli = Cli { config: Unit, run: options };
            let trainer = TorchTrainer::<Nothing>::new(()).scaling(scaling()).run(run()).command_line(&cli);
            (trainer.scaling, trainer.run)
        };
        assert_eq!(applied(RunOptions::default()), (scaling(), run()));

        let workers = RunOptions { workers: Some(0), gpu: Some(false), ..RunOptions::default() };
        let expected = ScalingConfig::workers(0).use_gpu(false).start_timeout(Duration::from_secs(7));
        assert_eq!(applied(workers), (expected, run()));

        let storage = Some(PathBuf::from("there"));
        let place = RunOptions { storage, name: Some("yours".to_owned()), ..RunOptions::default() };
        assert_eq!(applied(place), (scaling(), run().storage("there").name("yours")));

        let quiet = RunOptions { verbosity: Some(Verbosity::Quiet), ..RunOptions::default() };
        assert_eq!(applied(quiet), (scaling(), run().verbosity(Verbosity::Quiet)));
    }
}
