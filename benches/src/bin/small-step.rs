//! A training step without much to compute: a linear layer of 32 × 2, batches of 32 from a loader, one rank, against plain
//! PyTorch (`peers/small_step.py`); what an `Accelerator` adds to it; and how much of it is libtorch's own.
//!
//! Ours is a train loop under `TorchTrainer` in this process, with a loader and `ctx.step`. Both sides: float32, one thread,
//! SGD, the mean time of a step over some epochs, the first of which is a warm-up. The accelerator's loop and the plain one take
//! turns epoch by epoch, and the overhead is the median of the differences. libtorch's own part is the same operations on one
//! batch again and again, with nothing around them.

use std::time::Instant;

use clap::Parser;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::nn::{self, LinearConfig, VarStore};
use tch::{Device, Kind, Tensor};
use trainloop::accelerate::Accelerator;
use trainloop::data::{DataLoaderBuilder, TensorDataset};
use trainloop::prelude::*;
use trainloop_benches::{Peer, Times, median, ranks};

/// As in `peers/small_step.py`.
const SAMPLES: i64 = 64_000;
const FEATURES: i64 = 32;
const BATCH: usize = 32;
const CASE: &str = "small_step";

/// A step of a linear layer of 32 × 2.
#[derive(Parser)]
struct Options {
    /// How often each side is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Epochs of a round, of 2000 steps each
    #[arg(long, default_value_t = 4)]
    epochs: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

type Points = TensorDataset<2>;

fn points() -> Result<Points> {
    let inputs = Tensor::rand([SAMPLES, FEATURES], (Kind::Float, Device::Cpu));
    let labels = Tensor::randint(2, [SAMPLES], (Kind::Int64, Device::Cpu));
    Points::new([inputs, labels])
}

fn loader() -> Result<DataLoaderBuilder<Points>> {
    Ok(DataLoader::builder(points()?).batch_size(BATCH).shuffle(17).workers(0))
}

#[derive(TrainState)]
struct State {
    model: Model<nn::Linear>,
    optimizer: Sgd,
    loader: DataLoader<Points>,
}

/// Microseconds of a step in each epoch but the first.
#[derive(Serialize, Deserialize, Default)]
struct Steps {
    plain: Vec<f64>,
    accelerated: Vec<f64>,
    libtorch: Vec<f64>,
}

/// The operations of so many steps, and nothing else.
fn operations(steps: u64) -> Result<()> {
    let vars = VarStore::new(Device::Cpu);
    let net = nn::linear(vars.root(), FEATURES, 2, LinearConfig::default());
    let mut optimizer = Sgd::builder(0.1).build(&vars)?;
    let inputs = Tensor::rand([BATCH as i64, FEATURES], (Kind::Float, Device::Cpu));
    let labels = Tensor::randint(2, [BATCH as i64], (Kind::Int64, Device::Cpu));
    for _ in 0..steps {
        let loss = inputs.apply(&net).cross_entropy_for_logits(&labels);
        optimizer.zero_grad()?;
        loss.f_backward()?;
        optimizer.step()?;
    }
    Ok(())
}

#[train_loop(strategy = ddp)]
fn steps(ctx: &mut Context, epochs: u64) -> Result<Steps> {
    tch::set_num_threads(1);
    let model = ctx.prepare_model(|path| nn::linear(path, FEATURES, 2, LinearConfig::default()))?;
    let optimizer = Sgd::builder(0.1).build(&model)?;
    let mut state = State { model, optimizer, loader: ctx.prepare_data_loader(loader()?)? };
    let mut accelerator = Accelerator::builder().build(ctx)?;
    let vars = VarStore::new(Device::Cpu);
    let net = nn::linear(vars.root(), FEATURES, 2, LinearConfig::default());
    let optimizer = Sgd::builder(0.1).build(&vars)?;
    let (model, mut optimizer, loader) = accelerator.prepare(((vars, net), optimizer, loader()?))?;

    let mut steps = Steps::default();
    let batches = loader.batches();
    let per_step = |began: Instant| began.elapsed().as_secs_f64() * 1e6 / batches as f64;
    for epoch in 0..=epochs {
        let began = Instant::now();
        for batch in state.loader.epoch(epoch)? {
            let batch = batch?;
            let [inputs, labels] = &*batch;
            let loss = state.model.call(|net| inputs.apply(net))?.cross_entropy_for_logits(labels);
            state.optimizer.backward_step(&loss)?;
            accelerator.context().step(&state)?;
        }
        let plain = per_step(began);
        let began = Instant::now();
        for batch in loader.epoch(epoch)? {
            let batch = batch?;
            let [inputs, labels] = &*batch;
            accelerator.accumulate(|| {
                let loss = model.call(|net| inputs.apply(net))?.cross_entropy_for_logits(labels);
                accelerator.backward(&loss)?;
                optimizer.step()?;
                optimizer.zero_grad()
            })?;
            accelerator.step()?;
        }
        let accelerated = per_step(began);
        let began = Instant::now();
        operations(batches)?;
        let libtorch = per_step(began);
        if epoch > 0 {
            steps.plain.push(plain);
            steps.accelerated.push(accelerated);
            steps.libtorch.push(libtorch);
        }
    }
    Ok(steps)
}

#[trainloop::main]
fn main() -> Result<()> {
    let options = Options::parse();
    let storage = tempfile::tempdir()?;
    let peer = Peer::new("small_step.py");
    let (mut ours, mut theirs, mut over, mut libtorch) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let outcome = TorchTrainer::<steps>::new(options.epochs)
            .run(RunConfig::default().storage(storage.path()).progress(false))
            .fit()?;
        let Steps { plain, accelerated, libtorch: operations } = outcome.output;
        over.extend(plain.iter().zip(&accelerated).map(|(plain, accelerated)| accelerated - plain));
        ours.extend(plain);
        libtorch.extend(operations);
        if let Some(peer) = &peer {
            let times: Times = ranks(1, |_, _| {
                let mut command = peer.command();
                command.args(["--epochs", &options.epochs.to_string()]);
                command
            })?;
            theirs.extend(times.get(CASE));
        }
    }
    let [ours, over, libtorch] = [ours, over, libtorch].map(|times| median(&times).unwrap_or(f64::NAN));
    let theirs = median(&theirs);
    if options.json {
        println!(
            "{}",
            json!({
                "ours_us": ours, "torch_us": theirs, "ratio_to_torch": theirs.map(|theirs| ours / theirs),
                "accelerator_overhead_us": over, "libtorch_us": libtorch,
            })
        );
    } else {
        println!("ours {ours:.1} µs a step, of which libtorch's {libtorch:.1}; an accelerator's {over:+.1} µs");
        if let Some(theirs) = theirs {
            println!("torch {theirs:.1} µs, ratio {:.3}", ours / theirs);
        }
    }
    Ok(())
}
