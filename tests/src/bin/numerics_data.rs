//! Loops that only read data: each rank's shares of the batches, and an evaluation gathered over ranks.
//!
//!     numerics_data shares|evaluate WORKERS STORAGE CONFIG.json

use serde::{Deserialize, Serialize};
use tch::Tensor;
use trainloop::data::Tail;
use trainloop::prelude::*;

#[derive(Serialize, Deserialize, Debug, Clone)]
struct Config {
    length: usize,
    batch_size: usize,
    shuffle: Option<u64>,
    drop_last: bool,
    /// `exact`, `pad` or `drop`.
    tail: String,
    threads: usize,
}

/// What a rank got as one batch.
#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
struct Share {
    batch: u64,
    batches: u64,
    indices: Vec<usize>,
    samples: usize,
    weight: f64,
}

/// An evaluation, the same on all ranks.
#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
struct Evaluation {
    samples: i64,
    right: i64,
    own_samples: usize,
}

/// Each sample is its index.
#[derive(Clone)]
struct Indices(usize);

impl Dataset for Indices {
    type Sample = usize;
    type Batch = Vec<usize>;

    fn len(&self) -> usize {
        self.0
    }

    fn get(&self, index: usize) -> Result<usize> {
        Ok(index)
    }

    fn collate(&self, samples: Vec<usize>) -> Result<Vec<usize>> {
        Ok(samples)
    }
}

fn loader<M>(ctx: &Context<M>, config: &Config) -> Result<DataLoader<Indices>> {
    let tail = match config.tail.as_str() {
        "exact" => Tail::Exact,
        "pad" => Tail::Pad,
        "drop" => Tail::Drop,
        other => return Err(Error::other(format!("no tail {other}"))),
    };
    let mut builder = DataLoader::builder(Indices(config.length))
        .batch_size(config.batch_size)
        .drop_last(config.drop_last)
        .tail(tail)
        .workers(config.threads);
    if let Some(seed) = config.shuffle {
        builder = builder.shuffle(seed);
    }
    ctx.prepare_data_loader(builder)
}

#[train_loop]
fn shares(ctx: &mut Context<Share>, config: Config) -> Result<()> {
    let loader = loader(ctx, &config)?;
    for batch in loader.epoch(3)? {
        let batch = batch?;
        ctx.report(Share {
            batch: batch.index(),
            batches: loader.batches(),
            indices: batch.to_vec(),
            samples: batch.samples(),
            weight: batch.weight(),
        })?;
    }
    Ok(())
}

/// A fixed classifier that is right on about two thirds of the samples, evaluated as the example does it.
#[train_loop]
fn evaluate(ctx: &mut Context<Evaluation>, config: Config) -> Result<()> {
    let loader = loader(ctx, &config)?;
    let (mut right, mut samples) = (0, 0);
    for batch in loader.epoch(0)? {
        let batch = batch?;
        let numbers: Vec<i64> = batch.iter().map(|&index| index as i64).collect();
        let numbers = Tensor::from_slice(&numbers);
        let (answers, labels) = ((&numbers * 7).remainder(3), numbers.remainder(3) * numbers.remainder(2));
        if batch.samples() > 0 {
            right += i64::try_from(answers.eq_tensor(&labels).sum(tch::Kind::Int64))?;
            samples += batch.samples();
        }
    }
    let [all_right, all_samples] = ctx.all_reduce([right, samples as i64], ReduceOp::Sum)?;
    ctx.report(Evaluation { samples: all_samples, right: all_right, own_samples: samples })
}

#[trainloop::main]
fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, workers, storage, config] = args.as_slice() else {
        return Err(Error::other("usage: numerics_data shares|evaluate WORKERS STORAGE CONFIG.json"));
    };
    let scaling = ScalingConfig::workers(workers.parse::<usize>().map_err(Error::other)?);
    let run = RunConfig::named("run").storage(storage).progress(false);
    let config: Config = serde_json::from_str(&std::fs::read_to_string(config)?).map_err(Error::other)?;
    match what.as_str() {
        "shares" => TorchTrainer::<shares>::new(config).scaling(scaling).run(run).fit().map(drop),
        "evaluate" => TorchTrainer::<evaluate>::new(config).scaling(scaling).run(run).fit().map(drop),
        other => Err(Error::other(format!("no loop {other}"))),
    }
}
