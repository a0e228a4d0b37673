//! Handwritten digits: a small convolutional net, trained on two workers.
//!
//!     cargo xtask run digits -- --workers 2 --epochs 8

mod data;
mod net;

use std::num::{ParseFloatError, ParseIntError};
use std::path::PathBuf;

use clap::Parser;
use data::{Digits, SHIPPED, Split};
use net::Net;
use serde::{Deserialize, Serialize};
use serde_json::json;
use trainloop::prelude::*;

/// Trains a small convolutional net on handwritten digits.
#[derive(Parser)]
struct Options {
    /// Worker processes; with 0 the loop runs in this process
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Passes over the training data
    #[arg(long, default_value_t = 8)]
    epochs: u64,
    /// Samples in a batch of one worker
    #[arg(long, default_value_t = 32, value_parser = at_least_one)]
    batch_size: usize,
    /// Learning rate
    #[arg(long, default_value_t = 3e-3, value_parser = learning_rate)]
    lr: f64,
    /// Folder in which runs are kept
    #[arg(long, default_value = "runs")]
    storage: PathBuf,
    /// The run's name; made from the time if there is none
    #[arg(long)]
    name: Option<String>,
    /// Folder with IDX files, such as MNIST's, gzipped or not; the shipped 8×8 digits if there is none
    #[arg(long)]
    data: Option<PathBuf>,
    /// Go on with the run of that name; an error if there is none
    #[arg(long)]
    resume: bool,
    /// Start again from the latest checkpoint after a failure, at most so often
    #[arg(long, default_value_t = 0)]
    max_failures: u64,
    /// One GPU for each worker
    #[arg(long)]
    gpu: bool,
    /// Print one JSON object at the end, and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Serialize, Deserialize, Debug, Clone)]
struct Config {
    data: PathBuf,
    epochs: u64,
    batch_size: usize,
    lr: f64,
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
struct EpochMetrics {
    epoch: u64,
    #[metric(reduce = mean)]
    train_loss: f64,
    #[metric(reduce = mean)]
    val_accuracy: f64,
}

/// Everything that a checkpoint holds.
#[derive(TrainState)]
struct State {
    model: Model<Net>,
    optimizer: AdamW,
    schedule: Scheduler<CosineLr>,
    loader: DataLoader<Digits>,
    #[state(serde)]
    epoch: u64,
    /// Of this epoch so far, on this rank.
    #[state(serde)]
    loss_sum: f64,
    #[state(serde)]
    samples: f64,
}

impl State {
    fn new(ctx: &Context<EpochMetrics>, config: &Config) -> Result<Self> {
        let digits = Digits::open(&config.data, Split::Train)?;
        let size = digits.size();
        tch::manual_seed(17);
        let model = ctx.prepare_model(|path| Net::new(path, size))?;
        let loader = ctx.prepare_data_loader(DataLoader::builder(digits).batch_size(config.batch_size).shuffle(17))?;
        let mut optimizer = AdamW::builder(config.lr).build(&model)?;
        let steps = (loader.batches() * config.epochs).max(1);
        let schedule = CosineLr::new(steps).min_factor(0.1).attach(&mut optimizer)?;
        Ok(Self { model, optimizer, schedule, loader, epoch: 0, loss_sum: 0.0, samples: 0.0 })
    }
}

#[train_loop(strategy = ddp, checkpoint(keep = 3, score = max(val_accuracy)))]
fn train(ctx: &mut Context<EpochMetrics>, config: Config) -> Result<()> {
    let mut state = State::new(ctx, &config)?;
    let test = Digits::open(&config.data, Split::Test)?;
    let test = ctx.prepare_data_loader(DataLoader::builder(test).batch_size(256))?;
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.restore(&mut state)?;
    }

    while state.epoch < config.epochs {
        for batch in state.loader.epoch(state.epoch)? {
            let batch = batch?.on_device(ctx.device())?;
            let loss = state.model.call(|net| net.forward(&batch.images))?.cross_entropy_for_logits(&batch.labels);
            state.optimizer.backward_step(&loss)?;
            state.schedule.step(&mut state.optimizer)?;
            state.loss_sum += f64::try_from(&loss)? * batch.samples() as f64;
            state.samples += batch.samples() as f64;
            ctx.step(&state)?;
        }
        let [loss, samples] = ctx.all_reduce([state.loss_sum, state.samples], ReduceOp::Sum)?;
        let val_accuracy = accuracy(ctx, &state.model, &test)?;
        state.epoch += 1;
        (state.loss_sum, state.samples) = (0.0, 0.0);
        ctx.report_with(EpochMetrics { epoch: state.epoch, train_loss: loss / samples, val_accuracy }, &state)?;
    }
    Ok(())
}

/// The share of right answers over the whole test set, whichever rank has seen them.
fn accuracy(ctx: &Context<EpochMetrics>, model: &Model<Net>, test: &DataLoader<Digits>) -> Result<f64> {
    let _no_grad = tch::no_grad_guard();
    let mut counts = [0.0, 0.0];
    for batch in test.epoch(0)? {
        let batch = batch?.on_device(ctx.device())?;
        let right = model.call(|net| net.forward(&batch.images))?.argmax(-1, false).eq_tensor(&batch.labels);
        // A stand-in has no samples, and counts for nothing.
        if batch.samples() > 0 {
            counts[0] += f64::try_from(right.sum(tch::Kind::Double))?;
            counts[1] += batch.samples() as f64;
        }
    }
    let [right, samples] = ctx.all_reduce(counts, ReduceOp::Sum)?;
    Ok(right / samples)
}

#[trainloop::main]
fn main() -> Result<()> {
    let options = Options::try_parse().unwrap_or_else(|error| exit_with_usage(&error));
    let data = options.data.unwrap_or_else(|| PathBuf::from(SHIPPED));
    if !data.is_dir() {
        let folder = data.display();
        return Err(Error::other(format!(
            "`--data {folder}` is no folder; give one with IDX files, or leave it out for the shipped digits"
        )));
    }
    // Both are read here once, so that a damaged file is known before a worker starts.
    for split in [Split::Train, Split::Test] {
        Digits::open(&data, split)?;
    }
    // Workers run where the driver does, but a relative path should mean the same in the run's record, too.
    let data = data.canonicalize()?;

    let mut run = RunConfig::default().storage(&options.storage).progress(!options.json);
    run = run.failure(FailureConfig::max_failures(options.max_failures));
    if options.resume {
        run = run.resume(Resume::Require);
    }
    if let Some(name) = options.name {
        run = run.name(name);
    }
    let config = Config { data, epochs: options.epochs, batch_size: options.batch_size, lr: options.lr };
    let outcome = TorchTrainer::<train>::new(config)
        .scaling(ScalingConfig::workers(options.workers).use_gpu(options.gpu))
        .run(run)
        .fit()?;

    let best = outcome.best_checkpoint()?;
    if options.json {
        let best = match &best {
            Some(best) => json!({ "checkpoint": best.path(), "metrics": best.metrics::<EpochMetrics>()? }),
            None => serde_json::Value::Null,
        };
        let line = json!({
            "run": outcome.path,
            "metrics": outcome.metrics,
            "best": best,
            "restarts": outcome.restarts,
            "seconds": outcome.duration.as_secs_f64(),
        });
        println!("{line}");
    } else {
        summarise(&outcome, best.as_ref(), options.workers);
    }
    Ok(())
}

fn summarise(outcome: &Outcome<train>, best: Option<&Checkpoint>, workers: usize) {
    let seconds = outcome.duration.as_secs_f64();
    println!();
    match &outcome.metrics {
        Some(metrics) => println!(
            "  {:.1} % of the test digits are read right after {} epochs",
            metrics.val_accuracy * 100.0,
            metrics.epoch
        ),
        None => println!("  nothing was trained: there were no epochs"),
    }
    println!(
        "  {} in {seconds:.1} s",
        match workers {
            0 => "in this process".to_owned(),
            1 => "1 worker".to_owned(),
            workers => format!("{workers} workers"),
        }
    );
    if let Some(best) = best {
        println!("  the best checkpoint is {}", best.path().display());
    }
    println!("  reports and logs are in {}", outcome.path.display());
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(ParseIntError::to_string(&error)),
    }
}

fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if f64::is_finite(rate) && rate >= 0.0 => Ok(rate),
        Ok(_) => Err("it must be finite and not negative".to_owned()),
        Err(error) => Err(ParseFloatError::to_string(&error)),
    }
}

/// An unknown option ends with 1, as every other mistake; help and version end with 0.
fn exit_with_usage(error: &clap::Error) -> ! {
    let _ = error.print();
    std::process::exit(i32::from(error.use_stderr()));
}
