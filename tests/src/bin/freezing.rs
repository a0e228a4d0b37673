//! A net whose encoder is frozen for two epochs, and then trained in part. Reports the values after each step.
//!
//!     freezing PLAN

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::nn::{self, BatchNormConfig, LinearConfig, ModuleT, Path};
use tch::{Kind, Reduction, Tensor};
use trainloop::prelude::*;
use trainloop_tests::fault::{Faults, Moment};

#[derive(Deserialize)]
struct Plan {
    name: String,
    storage: PathBuf,
    workers: usize,
    max_failures: u64,
    config: Config,
}

#[derive(Serialize, Deserialize, Debug, Clone)]
struct Config {
    batch_size: usize,
    epochs: u64,
    /// Before this epoch the encoder's weight is trained again.
    unfreezes: u64,
    /// A pattern to freeze at the start; a wrong one is the loop's error.
    frozen: String,
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
struct Step {
    epoch: u64,
    frozen: Vec<String>,
    /// The names of the parameters with a gradient.
    gradients: Vec<String>,
    values: BTreeMap<String, Vec<f64>>,
}

#[derive(Debug)]
struct Net {
    encoder: nn::Linear,
    norm: nn::BatchNorm,
    head: nn::Linear,
}

impl Net {
    fn new(path: &Path<'_>) -> Self {
        Self {
            encoder: nn::linear(path / "encoder", 3, 6, LinearConfig::default()),
            norm: nn::batch_norm1d(path / "norm", 6, BatchNormConfig::default()),
            head: nn::linear(path / "head", 6, 2, LinearConfig::default()),
        }
    }

    fn forward(&self, inputs: &Tensor) -> Tensor {
        // In evaluation mode, as one does with a frozen encoder: each rank's own means would be others than one process's.
        self.norm.forward_t(&inputs.apply(&self.encoder).tanh(), false).apply(&self.head)
    }
}

#[derive(Clone)]
struct Points;

impl Dataset for Points {
    type Sample = usize;
    type Batch = (Tensor, Tensor);

    fn len(&self) -> usize {
        20
    }

    fn get(&self, index: usize) -> Result<usize> {
        Ok(index)
    }

    fn collate(&self, indices: Vec<usize>) -> Result<(Tensor, Tensor)> {
        let value = |index: usize, axis: usize| ((index * 7 + axis * 13) as f64).sin();
        let inputs: Vec<f64> = indices.iter().flat_map(|&index| (0..3).map(move |axis| value(index, axis))).collect();
        let labels: Vec<i64> = indices.iter().map(|&index| (index % 2) as i64).collect();
        Ok((Tensor::from_slice(&inputs).f_view([-1, 3])?, Tensor::from_slice(&labels)))
    }
}

#[derive(TrainState)]
struct State {
    model: Model<Net>,
    optimizer: AdamW,
    loader: DataLoader<Points>,
    #[state(serde)]
    epoch: u64,
    #[state(serde)]
    steps: u64,
    /// Done once: what is frozen afterwards is the model's to know.
    #[state(serde)]
    has_unfrozen: bool,
}

impl State {
    fn new(ctx: &Context<Step>, config: &Config) -> Result<Self> {
        tch::manual_seed(17);
        let mut model = ctx.prepare_model_with(ModelOptions::default().kind(Kind::Double), Net::new)?;
        model.freeze(&config.frozen)?;
        let optimizer = AdamW::builder(0.02).group(ParamGroup::matching("*.bias").weight_decay(0.0)).build(&model)?;
        let loader = ctx.prepare_data_loader(DataLoader::builder(Points).batch_size(config.batch_size).shuffle(3))?;
        Ok(Self { model, optimizer, loader, epoch: 0, steps: 0, has_unfrozen: false })
    }
}

#[train_loop(strategy = ddp)]
#[allow(clippy::needless_pass_by_value)] // a train loop is given its config
fn train(ctx: &mut Context<Step>, config: Config) -> Result<()> {
    let faults = Faults::of_rank(ctx.rank())?;
    let mut state = State::new(ctx, &config)?;
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.restore(&mut state)?;
    }
    while state.epoch < config.epochs {
        if state.epoch == config.unfreezes && !state.has_unfrozen {
            state.model.unfreeze("encoder.w*")?;
            state.has_unfrozen = true;
        }
        for batch in state.loader.epoch(state.epoch)? {
            let batch = batch?;
            let (inputs, labels) = &*batch;
            let logits = state.model.call(|net| net.forward(inputs))?;
            let loss = logits.f_cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, 0.0)?;
            state.optimizer.backward_step(&loss)?;
            state.steps += 1;
            faults.at(Moment::Step(state.steps))?;
            let variables: BTreeMap<String, Tensor> = state.model.vars().variables().into_iter().collect();
            let has_gradient = |(_, tensor): &(&String, &Tensor)| tensor.grad().defined();
            let gradients = variables.iter().filter(has_gradient).map(|(name, _)| name.clone()).collect();
            let flat = |(name, tensor): (String, Tensor)| Ok((name, Vec::try_from(tensor.detach().flatten(0, -1))?));
            ctx.report(Step {
                epoch: state.epoch,
                frozen: state.model.frozen(),
                gradients,
                values: variables.into_iter().map(flat).collect::<Result<_>>()?,
            })?;
            ctx.step(&state)?;
        }
        state.epoch += 1;
    }
    Ok(())
}

#[trainloop::main]
fn main() -> Result<()> {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let plan: Plan = serde_json::from_str(&argument).map_err(Error::other)?;
    let run = RunConfig::named(plan.name).storage(plan.storage).progress(false);
    let outcome = TorchTrainer::<train>::new(plan.config)
        .scaling(ScalingConfig::workers(plan.workers))
        .run(run.failure(FailureConfig::max_failures(plan.max_failures)))
        .checkpoint(CheckpointConfig::new().every_steps(4))
        .fit()?;
    println!("{}", json!({ "restarts": outcome.restarts, "steps": outcome.reports }));
    Ok(())
}
