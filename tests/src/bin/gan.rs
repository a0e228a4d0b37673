//! A generator and a discriminator, each with its optimizer, in one loop. Reports both losses of each step and all values.
//!
//!     gan PLAN

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::nn::{self, LinearConfig, Path};
use tch::{Kind, Reduction, Tensor};
use trainloop::prelude::*;
use trainloop_tests::data::rows;
use trainloop_tests::fault::{Faults, Moment};

#[derive(Deserialize)]
struct Plan {
    name: String,
    storage: PathBuf,
    workers: usize,
    max_failures: u64,
    /// A checkpoint by `ctx.step` after so many steps.
    every: u64,
    config: Config,
}

type Values = BTreeMap<String, Vec<f64>>;

#[derive(Serialize, Deserialize, Debug, Clone)]
struct Config {
    real: Vec<Vec<f64>>,
    noise: Vec<Vec<f64>>,
    generator: Values,
    discriminator: Values,
    batch_size: usize,
    epochs: u64,
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
struct Step {
    samples: usize,
    discriminator_loss: f64,
    generator_loss: f64,
    generator: Values,
    discriminator: Values,
    /// How many of the discriminator's parameters have a gradient after the generator's step, after its own were freed.
    gradients: usize,
}

/// Three layers of numbers.
#[derive(Debug)]
struct Net(nn::Linear, nn::Linear);

impl Net {
    fn new(path: &Path<'_>, inputs: i64, outputs: i64) -> Self {
        let linear = LinearConfig::default();
        Self(nn::linear(path / "0", inputs, 8, linear), nn::linear(path / "2", 8, outputs, linear))
    }

    fn forward(&self, inputs: &Tensor) -> Tensor {
        inputs.apply(&self.0).tanh().apply(&self.1)
    }
}

#[derive(Clone)]
struct Data(Arc<Config>);

impl Dataset for Data {
    type Sample = usize;
    type Batch = (Tensor, Tensor);

    fn len(&self) -> usize {
        self.0.real.len()
    }

    fn get(&self, index: usize) -> Result<usize> {
        Ok(index)
    }

    fn collate(&self, samples: Vec<usize>) -> Result<(Tensor, Tensor)> {
        Ok((rows(&self.0.real, &samples)?, rows(&self.0.noise, &samples)?))
    }
}

#[derive(TrainState)]
struct State {
    generator: Model<Net>,
    discriminator: Model<Net>,
    of_generator: Adam,
    of_discriminator: Adam,
    loader: DataLoader<Data>,
    #[state(serde)]
    epoch: u64,
    #[state(serde)]
    steps: u64,
}

impl State {
    fn new(ctx: &Context<Step>, config: &Arc<Config>) -> Result<Self> {
        let prepare = |inputs, outputs, initial: &Values| {
            let options = ModelOptions::default().kind(Kind::Double);
            let model = ctx.prepare_model_with(options, |path| Net::new(path, inputs, outputs))?;
            for (name, mut variable) in model.vars().variables() {
                let values = Tensor::from_slice(&initial[&name]).f_view(&variable.size()[..])?;
                tch::no_grad(|| variable.f_copy_(&values))?;
            }
            Ok::<_, Error>(model)
        };
        let (generator, discriminator) = (prepare(2, 3, &config.generator)?, prepare(3, 1, &config.discriminator)?);
        let adam = |lr: f64, model: &Model<Net>| Adam::builder(lr).betas(0.5, 0.999).build(model);
        Ok(Self {
            of_generator: adam(0.01, &generator)?,
            of_discriminator: adam(0.02, &discriminator)?,
            generator,
            discriminator,
            loader: ctx
                .prepare_data_loader(DataLoader::builder(Data(Arc::clone(config))).batch_size(config.batch_size))?,
            epoch: 0,
            steps: 0,
        })
    }

    /// Both optimizers' steps; gives the losses.
    fn step(&mut self, real: &Tensor, noise: &Tensor) -> Result<(f64, f64)> {
        let made = self.generator.call(|net| net.forward(noise))?;
        let right = self.discriminator.call(|net| net.forward(real))?;
        let wrong = self.discriminator.call(|net| net.forward(&made.detach()))?;
        let discriminator_loss = entropy(&right, 1.0)? + entropy(&wrong, 0.0)?;
        self.of_discriminator.backward_step(&discriminator_loss)?;
        self.of_discriminator.zero_grad()?;

        let judged = self.discriminator.call_frozen(|net| net.forward(&made))?;
        let generator_loss = entropy(&judged, 1.0)?;
        self.of_generator.backward_step(&generator_loss)?;
        self.steps += 1;
        Ok((f64::try_from(&discriminator_loss)?, f64::try_from(&generator_loss)?))
    }
}

fn entropy(logits: &Tensor, label: f64) -> Result<Tensor> {
    let labels = logits.f_full_like(label)?.detach();
    Ok(logits.f_binary_cross_entropy_with_logits::<Tensor>(&labels, None, None, Reduction::Mean)?)
}

fn values(model: &Model<Net>) -> Result<Values> {
    let variables = model.vars().variables().into_iter();
    variables.map(|(name, tensor)| Ok((name, Vec::try_from(tensor.detach().flatten(0, -1))?))).collect()
}

#[train_loop(strategy = ddp)]
fn train(ctx: &mut Context<Step>, config: Config) -> Result<()> {
    let faults = Faults::of_rank(ctx.rank())?;
    let config = Arc::new(config);
    let mut state = State::new(ctx, &config)?;
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.restore(&mut state)?;
    }
    while state.epoch < config.epochs {
        for batch in state.loader.epoch(state.epoch)? {
            let batch = batch?;
            let (real, noise) = &*batch;
            let (discriminator_loss, generator_loss) = state.step(real, noise)?;
            let discriminator = state.discriminator.vars().trainable_variables();
            faults.at(Moment::Step(state.steps))?;
            ctx.report(Step {
                samples: batch.samples(),
                discriminator_loss,
                generator_loss,
                generator: values(&state.generator)?,
                discriminator: values(&state.discriminator)?,
                gradients: discriminator.iter().filter(|parameter| parameter.grad().defined()).count(),
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
    let plan: Plan = serde_json::from_str(&std::fs::read_to_string(argument)?).map_err(Error::other)?;
    let run = RunConfig::named(plan.name).storage(plan.storage).progress(false);
    let outcome = TorchTrainer::<train>::new(plan.config)
        .scaling(ScalingConfig::workers(plan.workers))
        .run(run.failure(FailureConfig::max_failures(plan.max_failures)))
        .checkpoint(CheckpointConfig::new().every_steps(plan.every))
        .fit()?;
    println!("{}", json!({ "restarts": outcome.restarts, "steps": outcome.reports }));
    Ok(())
}
