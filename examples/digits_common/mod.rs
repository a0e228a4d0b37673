//! The options of the digits examples that are written twice, and what they print.

use std::path::{Path, PathBuf};

use clap::Parser;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trainloop::prelude::*;
use trainloop::trainer::TrainLoop;

use super::data::{Digits, SHIPPED, Split};

/// What is trained.
#[derive(clap::Args)]
pub(crate) struct Work {
    /// Passes over the training data
    #[arg(long, default_value_t = 8)]
    pub(crate) epochs: u64,
    /// Samples in a batch of one worker
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_size: u32,
    /// Learning rate
    #[arg(long, default_value_t = 3e-3)]
    pub(crate) lr: f64,
    /// Folder in which runs are kept
    #[arg(long, default_value = "runs")]
    pub(crate) storage: PathBuf,
    /// The run's name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Folder with IDX files, such as MNIST's, gzipped or not; the shipped 8×8 digits if there is none
    #[arg(long)]
    data: Option<PathBuf>,
    /// Go on with the run of that name; an error if there is none
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print one JSON object at the end, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// How it is spread over processes: of the examples with a trainer.
#[derive(Parser)]
#[command(about = "Trains a small convolutional net on handwritten digits")]
#[allow(dead_code, reason = "the programs without a trainer have only the first part")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) work: Work,
    /// Worker processes; with 0 the loop runs in this process
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Start again from the latest checkpoint after a failure, at most so often
    #[arg(long, default_value_t = 0)]
    max_failures: u64,
    /// One GPU for each worker
    #[arg(long)]
    gpu: bool,
}

/// Of the programs without a trainer.
#[derive(Parser)]
#[command(about = "Trains a small convolutional net on handwritten digits, in this process")]
#[allow(dead_code, reason = "as above")]
pub(crate) struct Alone {
    #[command(flatten)]
    pub(crate) work: Work,
}

#[derive(Serialize, Deserialize, Debug, Clone)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) epochs: u64,
    pub(crate) batch_size: usize,
    pub(crate) lr: f64,
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
pub(crate) struct EpochMetrics {
    pub(crate) epoch: u64,
    #[metric(reduce = mean)]
    pub(crate) train_loss: f64,
    #[metric(reduce = mean)]
    pub(crate) val_accuracy: f64,
}

/// The command line; help ends with 0, a mistake with 1.
pub(crate) fn parse<P: Parser>() -> P {
    P::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        std::process::exit(i32::from(error.use_stderr()))
    })
}

impl Work {
    pub(crate) fn config(&self) -> Result<Config> {
        let data = self.data.clone().unwrap_or_else(|| PathBuf::from(SHIPPED));
        // Both are read here once, so that a damaged file is known before anything starts.
        for split in [Split::Train, Split::Test] {
            Digits::open(&data, split)?;
        }
        let (epochs, batch_size, lr) = (self.epochs, self.batch_size as usize, self.lr);
        Ok(Config { data: data.canonicalize()?, epochs, batch_size, lr })
    }

    /// What is printed at the end.
    pub(crate) fn print(&self, metrics: Option<&EpochMetrics>, folder: &Path, more: Value) {
        if self.json {
            let mut line = json!({ "run": folder, "metrics": metrics });
            if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
                line.extend(more);
            }
            println!("{line}");
        } else if let Some(metrics) = metrics {
            let percent = metrics.val_accuracy * 100.0;
            println!("{percent:.1} % of the test digits are read right after {} epochs", metrics.epoch);
            println!("the run is in {}", folder.display());
        }
    }
}

#[allow(dead_code, reason = "as above")]
impl Options {
    /// Trains on workers, and prints what came of it.
    pub(crate) fn fit<L: TrainLoop<Config = Config, Metrics = EpochMetrics>>(&self) -> Result<()> {
        let work = &self.work;
        let mut run = RunConfig::default().storage(&work.storage).progress(!work.json);
        run = run.failure(FailureConfig::max_failures(self.max_failures));
        if work.resume {
            run = run.resume(Resume::Require);
        }
        if let Some(name) = &work.name {
            run = run.name(name);
        }
        let outcome = TorchTrainer::<L>::new(work.config()?)
            .scaling(ScalingConfig::workers(self.workers).use_gpu(self.gpu))
            .run(run)
            .fit()?;
        let best = match outcome.best_checkpoint()? {
            Some(best) => json!({ "checkpoint": best.path(), "metrics": best.metrics::<EpochMetrics>()? }),
            None => Value::Null,
        };
        let seconds = outcome.duration.as_secs_f64();
        let more = json!({ "best": best, "restarts": outcome.restarts, "seconds": seconds });
        work.print(outcome.metrics.as_ref(), &outcome.path, more);
        if !work.json {
            println!("{}", outcome.step_times);
        }
        Ok(())
    }
}
