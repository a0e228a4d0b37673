//! A training step that is nearly all framework: a linear layer of 32 × 2, batches of 32 from a loader, one rank, against plain
//! PyTorch (`peers/small_step.py`); and what an `Accelerator` adds to it.
//!
//! Ours is a train loop under `TorchTrainer` in this process, with a loader and `ctx.step`. Both sides: float32, one thread,
//! SGD, the mean time of a step over some epochs, the first of which is a warm-up. The accelerator's loop and the plain one take
//! turns epoch by epoch, and the overhead is the median of the differences.

use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use serde_json::json;
use tch::nn::{self, LinearConfig, VarStore};
use tch::{Device, Kind, Tensor};
use trainloop::accelerate::Accelerator;
use trainloop::prelude::*;
use trainloop_benches::{Peer, Times, median, ranks};

/// As in `peers/small_step.py`.
const SAMPLES: usize = 64_000;
const FEATURES: usize = 32;
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

#[derive(Clone)]
struct Points(Arc<(Vec<f32>, Vec<i64>)>);

impl Dataset for Points {
    type Sample = usize;
    type Batch = (Tensor, Tensor);

    fn len(&self) -> usize {
        self.0.1.len()
    }

    fn get(&self, index: usize) -> Result<usize> {
        Ok(index)
    }

    fn collate(&self, samples: Vec<usize>) -> Result<(Tensor, Tensor)> {
        let (inputs, labels) = &*self.0;
        let rows: Vec<f32> =
            samples.iter().flat_map(|row| &inputs[row * FEATURES..(row + 1) * FEATURES]).copied().collect();
        let labels: Vec<i64> = samples.iter().map(|&row| labels[row]).collect();
        Ok((Tensor::from_slice(&rows).f_view([samples.len() as i64, FEATURES as i64])?, Tensor::from_slice(&labels)))
    }
}

fn points() -> Result<Points> {
    let inputs = Tensor::rand([(SAMPLES * FEATURES) as i64], (Kind::Float, Device::Cpu));
    let labels = Tensor::randint(2, [SAMPLES as i64], (Kind::Int64, Device::Cpu));
    Ok(Points(Arc::new((Vec::try_from(&inputs)?, Vec::try_from(&labels)?))))
}

fn loader() -> Result<trainloop::data::DataLoaderBuilder<Points>> {
    Ok(DataLoader::builder(points()?).batch_size(BATCH).shuffle(17).workers(0))
}

#[derive(TrainState)]
struct State {
    model: Model<nn::Linear>,
    optimizer: Sgd,
    loader: DataLoader<Points>,
}

/// Microseconds of a step in each epoch but the first: of the plain loop, and of the accelerator's.
#[train_loop(strategy = ddp)]
fn steps(ctx: &mut Context, epochs: u64) -> Result<(Vec<f64>, Vec<f64>)> {
    tch::set_num_threads(1);
    let model = ctx.prepare_model(|path| nn::linear(path, FEATURES as i64, 2, LinearConfig::default()))?;
    let optimizer = Sgd::builder(0.1).build(&model)?;
    let mut state = State { model, optimizer, loader: ctx.prepare_data_loader(loader()?)? };
    let mut accelerator = Accelerator::builder().build(ctx)?;
    let vars = VarStore::new(Device::Cpu);
    let net = nn::linear(vars.root(), FEATURES as i64, 2, LinearConfig::default());
    let optimizer = Sgd::builder(0.1).build(&vars)?;
    let (model, mut optimizer, loader) = accelerator.prepare(((vars, net), optimizer, loader()?))?;

    let (mut plain, mut accelerated) = (Vec::new(), Vec::new());
    for epoch in 0..=epochs {
        let began = Instant::now();
        for batch in state.loader.epoch(epoch)? {
            let batch = batch?;
            let (inputs, labels) = &*batch;
            let loss = state.model.call(|net| inputs.apply(net))?.cross_entropy_for_logits(labels);
            state.optimizer.backward_step(&loss)?;
            accelerator.context().step(&state)?;
        }
        plain.push(began.elapsed().as_secs_f64() * 1e6 / state.loader.batches() as f64);
        let began = Instant::now();
        for batch in loader.epoch(epoch)? {
            let batch = batch?;
            let (inputs, labels) = &*batch;
            accelerator.accumulate(|| {
                let loss = model.call(|net| inputs.apply(net))?.cross_entropy_for_logits(labels);
                accelerator.backward(&loss)?;
                optimizer.step()?;
                optimizer.zero_grad()
            })?;
            accelerator.step()?;
        }
        accelerated.push(began.elapsed().as_secs_f64() * 1e6 / loader.batches() as f64);
    }
    Ok((plain.split_off(1), accelerated.split_off(1)))
}

#[trainloop::main]
fn main() -> Result<()> {
    let options = Options::parse();
    let storage = tempfile::tempdir()?;
    let peer = Peer::new("small_step.py");
    let (mut ours, mut theirs, mut over) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let outcome = TorchTrainer::<steps>::new(options.epochs)
            .run(RunConfig::default().storage(storage.path()).progress(false))
            .fit()?;
        let (plain, accelerated) = outcome.output;
        over.extend(plain.iter().zip(&accelerated).map(|(plain, accelerated)| accelerated - plain));
        ours.extend(plain);
        if let Some(peer) = &peer {
            let times: Times = ranks(1, |_, _| {
                let mut command = peer.command();
                command.args(["--epochs", &options.epochs.to_string()]);
                command
            })?;
            theirs.extend(times.get(CASE));
        }
    }
    let (ours, over) = (median(&ours).unwrap_or(f64::NAN), median(&over).unwrap_or(f64::NAN));
    let theirs = median(&theirs);
    if options.json {
        println!(
            "{}",
            json!({
                "ours_us": ours, "torch_us": theirs, "ratio_to_torch": theirs.map(|theirs| ours / theirs),
                "accelerator_overhead_us": over,
            })
        );
    } else {
        println!("ours {ours:.1} µs a step, an accelerator's {over:+.1} µs");
        if let Some(theirs) = theirs {
            println!("torch {theirs:.1} µs, ratio {:.3}", ours / theirs);
        }
    }
    Ok(())
}
