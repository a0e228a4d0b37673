//! Trains a small net on data from the config and reports each step's loss and weights, on every rank.
//!
//!     numerics_train WORKERS STORAGE CONFIG.json

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::nn::{self, ConvConfig, LinearConfig, Path};
use tch::{Kind, Reduction, Tensor};
use trainloop::c10d::DdpOptions;
use trainloop::nn::{Replicas, SyncBatchNorm};
use trainloop::prelude::*;
use trainloop_tests::data::rows;

#[derive(Serialize, Deserialize, Debug, Clone)]
struct Config {
    net: NetKind,
    optimizer: OptimizerKind,
    inputs: Vec<Vec<f64>>,
    labels: Vec<i64>,
    batch_size: usize,
    /// Batches in a window.
    accumulate: usize,
    epochs: u64,
    /// float64; else float32.
    double: bool,
    /// Shuffles with this seed.
    shuffle: Option<u64>,
    /// Takes the batch's weight out of the loss again: a run that is wrong on purpose.
    ignore_weight: bool,
    /// The size of gradient buckets, in bytes.
    bucket_bytes: usize,
    gradient_as_bucket_view: bool,
    /// Weights to begin with, by name; else those of seed 17 + rank, of which DDP keeps rank 0's.
    initial: BTreeMap<String, Vec<f64>>,
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy)]
enum NetKind {
    Mlp,
    Idle,
    Norm,
    SyncNorm,
    Conv,
    SyncConv,
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy)]
enum OptimizerKind {
    Sgd { lr: f64, momentum: f64 },
    Adam { lr: f64 },
    AdamW { lr: f64 },
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
struct Step {
    epoch: u64,
    batch: u64,
    samples: usize,
    weight: f64,
    ends_window: bool,
    loss: f64,
    /// All weights after the step, by name.
    parameters: BTreeMap<String, Vec<f64>>,
}

/// 4 → 8 → 3 with tanh, the same with a batch norm of each rank's batch or of all ranks', or a convolution over 4 × 4 pixels and a linear layer; no dropout.
#[derive(Debug)]
enum Net {
    Mlp(nn::Linear, nn::Linear),
    /// The second layer has no part in what comes out.
    Idle(nn::Linear, nn::Linear),
    Norm(nn::Linear, nn::BatchNorm, nn::Linear),
    SyncNorm(nn::Linear, SyncBatchNorm, nn::Linear),
    Conv(nn::Conv2D, nn::Linear),
    SyncConv(nn::Conv2D, SyncBatchNorm, nn::Linear),
}

impl Net {
    fn new(path: &Path<'_>, kind: NetKind, replicas: &Replicas) -> Self {
        let linear = LinearConfig::default();
        // The names are those of torch.nn.Sequential(Linear, [BatchNorm1d,] Tanh, Linear), and with a convolution
        // (Conv2d, Tanh, AvgPool2d, Flatten, Linear).
        match kind {
            NetKind::Mlp => Self::Mlp(nn::linear(path / "0", 4, 8, linear), nn::linear(path / "2", 8, 3, linear)),
            NetKind::Idle => Self::Idle(nn::linear(path / "0", 4, 8, linear), nn::linear(path / "2", 8, 3, linear)),
            NetKind::Norm => Self::Norm(
                // The norm would take a bias away again.
                nn::linear(path / "0", 4, 8, LinearConfig { bias: false, ..linear }),
                nn::batch_norm1d(path / "1", 8, nn::BatchNormConfig::default()),
                nn::linear(path / "3", 8, 3, linear),
            ),
            NetKind::SyncNorm => Self::SyncNorm(
                nn::linear(path / "0", 4, 8, LinearConfig { bias: false, ..linear }),
                SyncBatchNorm::new(&(path / "1"), 8, nn::BatchNormConfig::default(), replicas),
                nn::linear(path / "3", 8, 3, linear),
            ),
            NetKind::SyncConv => {
                let config = ConvConfig { padding: 1, bias: false, ..ConvConfig::default() };
                Self::SyncConv(
                    nn::conv2d(path / "0", 1, 4, 3, config),
                    SyncBatchNorm::new(&(path / "1"), 4, nn::BatchNormConfig::default(), replicas),
                    nn::linear(path / "4", 64, 3, linear),
                )
            }
            NetKind::Conv => {
                let config = ConvConfig { padding: 1, ..ConvConfig::default() };
                Self::Conv(nn::conv2d(path / "0", 1, 4, 3, config), nn::linear(path / "4", 16, 3, linear))
            }
        }
    }

    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Mlp(first, second) => inputs.apply(first).tanh().apply(second),
            Self::Idle(first, second) => {
                let hidden = inputs.apply(first);
                let _ = tch::no_grad(|| hidden.apply(second));
                hidden
            }
            Self::Norm(first, norm, second) => inputs.apply(first).apply_t(norm, true).tanh().apply(second),
            Self::SyncNorm(first, norm, second) => norm.forward(&inputs.apply(first), true)?.tanh().apply(second),
            Self::SyncConv(first, norm, second) => {
                let images = inputs.view([-1, 1, 4, 4]);
                norm.forward(&images.apply(first), true)?.tanh().flatten(1, -1).apply(second)
            }
            Self::Conv(first, second) => {
                let images = inputs.view([-1, 1, 4, 4]);
                // Not `avg_pool2d_default`, which adds up and does not divide.
                let pooled = images.apply(first).tanh().avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>);
                pooled.flatten(1, -1).apply(second)
            }
        })
    }
}

#[derive(Clone)]
struct Data(Arc<Config>);

impl Dataset for Data {
    type Sample = usize;
    type Batch = (Tensor, Tensor);

    fn len(&self) -> usize {
        self.0.labels.len()
    }

    fn get(&self, index: usize) -> Result<usize> {
        Ok(index)
    }

    fn collate(&self, samples: Vec<usize>) -> Result<(Tensor, Tensor)> {
        let labels: Vec<i64> = samples.iter().map(|&index| self.0.labels[index]).collect();
        let kind = if self.0.double { Kind::Double } else { Kind::Float };
        Ok((rows(&self.0.inputs, &samples)?.to_kind(kind), Tensor::from_slice(&labels)))
    }
}

/// An optimizer of any of the kinds.
enum AnyOptimizer {
    Sgd(Sgd),
    Adam(Adam),
    AdamW(AdamW),
}

impl AnyOptimizer {
    fn new(kind: OptimizerKind, model: &Model<Net>) -> Result<Self> {
        Ok(match kind {
            OptimizerKind::Sgd { lr, momentum } => Self::Sgd(Sgd::builder(lr).momentum(momentum).build(model)?),
            OptimizerKind::Adam { lr } => Self::Adam(Adam::builder(lr).build(model)?),
            OptimizerKind::AdamW { lr } => Self::AdamW(AdamW::builder(lr).build(model)?),
        })
    }

    fn backward_step(&mut self, loss: &Tensor) -> Result<()> {
        match self {
            Self::Sgd(optimizer) => optimizer.backward_step(loss),
            Self::Adam(optimizer) => optimizer.backward_step(loss),
            Self::AdamW(optimizer) => optimizer.backward_step(loss),
        }
    }
}

#[train_loop(strategy = ddp)]
fn train(ctx: &mut Context<Step>, config: Config) -> Result<()> {
    tch::manual_seed(17 + ctx.rank() as i64);
    let ddp = DdpOptions {
        first_bucket_bytes: config.bucket_bytes,
        bucket_bytes: config.bucket_bytes,
        gradient_as_bucket_view: config.gradient_as_bucket_view,
        ..DdpOptions::default()
    };
    let kind = if config.double { Kind::Double } else { Kind::Float };
    let replicas = ctx.replicas();
    let options = ModelOptions::default().kind(kind).ddp(ddp);
    let model = ctx.prepare_model_with(options, |path| Net::new(path, config.net, &replicas))?;
    for (name, values) in &config.initial {
        let mut variable = model.vars().variables().remove(name).ok_or_else(|| Error::other(format!("no {name}")))?;
        let values = Tensor::from_slice(values).view(variable.size().as_slice());
        tch::no_grad(|| variable.f_copy_(&values))?;
    }
    let mut optimizer = AnyOptimizer::new(config.optimizer, &model)?;
    let epochs = config.epochs;
    let (shuffle, batch_size, ignore_weight) = (config.shuffle, config.batch_size, config.ignore_weight);
    let accumulate = config.accumulate;
    let mut builder =
        DataLoader::builder(Data(Arc::new(config))).batch_size(batch_size).workers(2).accumulate(accumulate);
    if let Some(seed) = shuffle {
        builder = builder.shuffle(seed);
    }
    let loader = ctx.prepare_data_loader(builder)?;

    for epoch in 0..epochs {
        for batch in loader.epoch(epoch)? {
            let batch = batch?;
            let (inputs, labels) = &*batch;
            let logits = model.call(|net| net.forward(inputs))?;
            // Not `cross_entropy_for_logits`: tch computes that in float32 whatever the logits are.
            let loss = logits.f_cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, 0.0)?;
            if ignore_weight && batch.weight() > 0.0 {
                optimizer.backward_step(&(&loss * (1.0 / batch.weight())))?;
            } else {
                optimizer.backward_step(&loss)?;
            }
            ctx.report(Step {
                epoch,
                batch: batch.index(),
                samples: batch.samples(),
                weight: batch.weight(),
                ends_window: batch.ends_window(),
                loss: f64::try_from(&loss)?,
                parameters: values(&model)?,
            })?;
        }
    }
    Ok(())
}

fn values(model: &Model<Net>) -> Result<BTreeMap<String, Vec<f64>>> {
    let variables = model.vars().variables().into_iter();
    let flat = |(name, tensor): (String, Tensor)| {
        Ok((name, Vec::<f64>::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1))?))
    };
    variables.map(flat).collect()
}

#[trainloop::main]
fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(workers), Some(storage), Some(config)) = (args.next(), args.next(), args.next()) else {
        return Err(Error::other("usage: numerics_train WORKERS STORAGE CONFIG.json"));
    };
    let workers: usize = workers.parse().map_err(Error::other)?;
    let config: Config = serde_json::from_str(&std::fs::read_to_string(config)?).map_err(Error::other)?;
    TorchTrainer::<train>::new(config)
        .scaling(ScalingConfig::workers(workers))
        .run(RunConfig::named("run").storage(storage).progress(false))
        .fit()?;
    Ok(())
}
