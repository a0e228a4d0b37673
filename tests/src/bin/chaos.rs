//! What `cargo xtask chaos` kills again and again: the shipped digits in random order, a net with dropout, gradients
//! summed up over several batches, checkpoints in the middle of epochs and of such windows. Each rank appends what it did to
//! `NAME-trace-RANK.jsonl`. Prints the last checkpoint's folder. A run that is to live through faults starts again by itself
//! after each, and ends with the epoch whose number `NAME-ends` holds.
//!
//!     chaos PLAN

use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Kind, Tensor, nn};
use trainloop::data::idx::{self, IdxArray};
use trainloop::prelude::*;
use trainloop_tests::chaos::{BATCH_SIZE, Plan, WINDOW, WORKERS, unix_time};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/data");

#[derive(Config, Serialize, Deserialize, Debug, Clone)]
struct Config {
    samples: usize,
    epochs: u64,
    save_every: u64,
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
struct EpochMetrics {
    epoch: u64,
    #[metric(reduce = mean)]
    loss: f64,
}

/// The first of the training digits.
#[derive(Clone)]
struct Digits {
    images: Arc<IdxArray>,
    labels: Arc<IdxArray>,
    samples: usize,
}

struct DigitBatch {
    indices: Vec<usize>,
    images: Tensor,
    labels: Tensor,
}

impl Digits {
    fn open(samples: usize) -> Result<Self> {
        let read = |name: &str| idx::read(format!("{DATA}/train-{name}-ubyte")).map(Arc::new);
        let (images, labels) = (read("images-idx3")?, read("labels-idx1")?);
        Ok(Self { images, labels, samples })
    }
}

impl Dataset for Digits {
    type Sample = usize;
    type Batch = DigitBatch;

    fn len(&self) -> usize {
        self.samples
    }

    fn get(&self, index: usize) -> Result<usize> {
        Ok(index)
    }

    fn collate(&self, indices: Vec<usize>) -> Result<DigitBatch> {
        let dims = &self.images.dims;
        let size = dims[1] * dims[2];
        let pixels: Vec<u8> =
            indices.iter().flat_map(|&index| self.images.data[index * size..][..size].iter().copied()).collect();
        let labels: Vec<i64> = indices.iter().map(|&index| i64::from(self.labels.data[index])).collect();
        let images = Tensor::from_slice(&pixels).f_view([-1, 1, dims[1] as i64, dims[2] as i64])?;
        Ok(DigitBatch { images: images.to_kind(Kind::Float) / 255.0, labels: Tensor::from_slice(&labels), indices })
    }
}

#[derive(Debug)]
struct Net {
    convolution: nn::Conv2D,
    hidden: nn::Linear,
    output: nn::Linear,
}

impl Net {
    fn new(path: &nn::Path<'_>) -> Self {
        let padded = nn::ConvConfig { padding: 1, ..Default::default() };
        Self {
            convolution: nn::conv2d(path / "convolution", 1, 8, 3, padded),
            hidden: nn::linear(path / "hidden", 8 * 4 * 4, 32, nn::LinearConfig::default()),
            output: nn::linear(path / "output", 32, 10, nn::LinearConfig::default()),
        }
    }

    fn forward(&self, images: &Tensor) -> Tensor {
        let halved = images.apply(&self.convolution).relu().max_pool2d_default(2);
        halved.flatten(1, -1).apply(&self.hidden).relu().dropout(0.3, true).apply(&self.output)
    }
}

#[derive(TrainState)]
struct State {
    model: Model<Net>,
    optimizer: AdamW,
    schedule: Scheduler<CosineLr>,
    loader: DataLoader<Digits>,
    #[state(serde)]
    epoch: u64,
    /// Batches of this rank, over all epochs.
    #[state(serde)]
    batches: u64,
    /// Losses of this epoch, on this rank.
    #[state(serde)]
    loss_sum: f64,
}

impl State {
    fn new(ctx: &Context<EpochMetrics>, config: &Config) -> Result<Self> {
        tch::manual_seed(3);
        let model = ctx.prepare_model(Net::new)?;
        let mut optimizer = AdamW::builder(2e-3).build(&model)?;
        let loader = DataLoader::builder(Digits::open(config.samples)?).batch_size(BATCH_SIZE).shuffle(11);
        let loader = ctx.prepare_data_loader(loader.workers(1).accumulate(WINDOW))?;
        let schedule = CosineLr::new(config.epochs * loader.windows()).min_factor(0.1).attach(&mut optimizer)?;
        // Each rank drops other neurons.
        tch::manual_seed(100 + ctx.rank() as i64);
        Ok(Self { model, optimizer, schedule, loader, epoch: 0, batches: 0, loss_sum: 0.0 })
    }
}

#[train_loop(strategy = ddp)]
#[allow(clippy::needless_pass_by_value)] // a train loop is given its config
fn train(ctx: &mut Context<EpochMetrics>, config: Config) -> Result<()> {
    let path = format!("{}-trace-{}.jsonl", ctx.run_name(), ctx.rank());
    let mut trace = File::options().create(true).append(true).open(path)?;
    let mut tell = |line: serde_json::Value| trace.write_all(format!("{line}\n").as_bytes());
    let mut state = State::new(ctx, &config)?;
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.restore(&mut state)?;
    }
    tell(json!({ "begins_after": state.batches, "pid": std::process::id() }))?;
    while state.epoch < config.epochs && !ends(ctx.run_name(), state.epoch) {
        for batch in state.loader.epoch(state.epoch)? {
            let batch = batch?;
            let loss = state.model.call(|net| net.forward(&batch.images))?.cross_entropy_for_logits(&batch.labels);
            state.optimizer.backward_step(&loss)?;
            if batch.ends_window() {
                state.schedule.step(&mut state.optimizer)?;
            }
            state.loss_sum += f64::try_from(&loss)?;
            state.batches += 1;
            let indices = &batch.indices[..batch.samples()];
            tell(json!({ "batch": state.batches, "at": unix_time(), "indices": indices }))?;
            ctx.step(&state)?;
            if ctx.steps().is_multiple_of(config.save_every) {
                tell(json!({ "committed": state.batches }))?;
            }
        }
        state.epoch += 1;
        let loss = std::mem::take(&mut state.loss_sum) / state.loader.batches() as f64;
        ctx.report_with(EpochMetrics { epoch: state.epoch, loss }, &state)?;
        tell(json!({ "committed": state.batches }))?;
    }
    Ok(())
}

/// Some epochs before it ends a run is told when, so that all ranks know.
fn ends(run: &str, epochs: u64) -> bool {
    let told = fs::read_to_string(format!("{run}-ends")).ok();
    told.and_then(|told| told.parse().ok()).is_some_and(|last: u64| epochs >= last)
}

#[trainloop::main]
fn main() -> Result<()> {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let plan: Plan = serde_json::from_str(&argument).map_err(Error::other)?;
    let mut scaling = ScalingConfig::workers(WORKERS);
    let mut run = RunConfig::named(plan.name).storage("runs").progress(false);
    if let Some(silence) = plan.lives_on_after_ms.map(Duration::from_millis) {
        scaling = scaling.heartbeat(silence / 20, silence).start_timeout(Duration::from_secs(30));
        run = run.failure(FailureConfig::unlimited());
    }
    let config = Config { samples: plan.samples, epochs: plan.epochs, save_every: plan.save_every };
    let outcome = TorchTrainer::<train>::new(config)
        .scaling(scaling)
        .run(run)
        .checkpoint(CheckpointConfig::new().keep(2).every_steps(plan.save_every))
        .fit()?;
    if let Some(latest) = outcome.latest_checkpoint()? {
        println!("{}", latest.path().display());
    }
    Ok(())
}
