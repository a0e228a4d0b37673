//! A loop over a stream whose shards differ in length. Each rank appends what each batch held to `trace-RANK.jsonl`, and a
//! model of one weight is trained, so that the ranks' gradients meet. Prints the outcome in JSON.
//!
//!     streams PLAN

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::nn::Linear;
use tch::{Kind, Tensor};
use trainloop::data::{IterableDataset, StreamLoader};
use trainloop::prelude::*;

#[derive(Deserialize)]
struct Plan {
    storage: PathBuf,
    workers: usize,
    config: Config,
}

#[derive(Serialize, Deserialize, Debug, Clone)]
struct Config {
    lengths: Vec<u64>,
    batch_size: usize,
    /// Of each rank.
    threads: usize,
    epochs: u64,
    /// A rank ends its process after so many of its batches, where it has not been restored.
    dies_after: Option<u64>,
    /// A sample that cannot be read.
    fails_at: Option<(usize, u64)>,
}

/// A sample is its shard and its number there.
#[derive(Clone)]
struct Shards(Config);

impl IterableDataset for Shards {
    type Sample = (usize, u64);
    type Batch = Vec<(usize, u64)>;
    type Samples = std::vec::IntoIter<Result<(usize, u64)>>;

    fn shards(&self) -> usize {
        self.0.lengths.len()
    }

    fn open(&self, shard: usize, _: u64) -> Result<Self::Samples> {
        let sample = |index| {
            let is_broken = self.0.fails_at == Some((shard, index));
            if is_broken { Err(Error::other("a scratch on the disk")) } else { Ok((shard, index)) }
        };
        Ok((0..self.0.lengths[shard]).map(sample).collect::<Vec<_>>().into_iter())
    }

    fn collate(&self, samples: Vec<(usize, u64)>) -> Result<Vec<(usize, u64)>> {
        Ok(samples)
    }
}

#[derive(TrainState)]
struct State {
    model: Model<Linear>,
    optimizer: Sgd,
    loader: StreamLoader<Shards>,
    #[state(serde)]
    epoch: u64,
}

#[train_loop(strategy = ddp)]
#[allow(clippy::needless_pass_by_value)] // a train loop is given its config
fn train(ctx: &mut Context, config: Config) -> Result<Vec<f64>> {
    let model = ctx.prepare_model(|path| {
        let mut linear = tch::nn::linear(path, 1, 1, tch::nn::LinearConfig::default());
        tch::no_grad(|| {
            let _ = linear.ws.fill_(0.0);
            linear.bs.as_mut().map(|bias| bias.fill_(0.0))
        });
        linear
    })?;
    let optimizer = Sgd::builder(1e-3).build(&model)?;
    let builder = StreamLoader::builder(Shards(config.clone())).batch_size(config.batch_size).shuffle_shards(5);
    let loader = ctx.prepare_stream_loader(builder.workers(config.threads))?;
    let mut state = State { model, optimizer, loader, epoch: 0 };
    let mut is_new = true;
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.restore(&mut state)?;
        is_new = false;
    }
    let mut trace = File::options().create(true).append(true).open(format!("trace-{}.jsonl", ctx.rank()))?;
    let mut done = 0;
    while state.epoch < config.epochs {
        for batch in state.loader.epoch(state.epoch)? {
            let batch = batch?;
            let targets: Vec<f32> = batch.iter().map(|&(shard, index)| shard as f32 + index as f32 / 8.0).collect();
            let targets = Tensor::from_slice(&targets).view([-1, 1]);
            let inputs = Tensor::ones([batch.len() as i64, 1], (Kind::Float, ctx.device()));
            let loss = state.model.call(|net| inputs.apply(net))?.mse_loss(&targets, tch::Reduction::Mean);
            state.optimizer.backward_step(&loss)?;
            let line = json!({
                "epoch": state.epoch, "index": batch.index(), "samples": &batch[..batch.samples()], "weight": batch.weight(),
            });
            trace.write_all(format!("{line}\n").as_bytes())?;
            ctx.step(&state)?;
            done += 1;
            if is_new && config.dies_after == Some(done) {
                std::process::abort();
            }
        }
        state.epoch += 1;
    }
    let variables = state.model.vars().variables();
    let mut names: Vec<_> = variables.keys().collect();
    names.sort();
    names.into_iter().map(|name| Ok(f64::try_from(variables[name].flatten(0, -1).get(0))?)).collect()
}

#[trainloop::main]
fn main() -> Result<()> {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let plan: Plan = serde_json::from_str(&argument).map_err(Error::other)?;
    let outcome = TorchTrainer::<train>::new(plan.config)
        .scaling(ScalingConfig::workers(plan.workers))
        .run(RunConfig::named("stream").storage(plan.storage).progress(false))
        .checkpoint(CheckpointConfig::new().every_steps(1).keep(2))
        .fit()?;
    println!("{}", json!({ "output": outcome.output }));
    Ok(())
}
