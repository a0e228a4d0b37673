//! A loop whose every step can be told apart: dropout, batch norm, shuffling, an optimizer with momenta, a schedule, windows
//! of accumulation, an average of the parameters, random numbers of `rand`'s generators. Each rank appends what it did in each step to `NAME-trace-RANK.jsonl`. Prints the outcome in JSON.
//!
//!     resume PLAN

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::nn::{self, ModuleT};
use tch::{Kind, Tensor};
use trainloop::optim::Ema;
use trainloop::prelude::*;
use trainloop::state::{StateReader, StateWriter};
use trainloop::trainer::WhenBusy;
use trainloop_tests::fault::{Faults, Moment};

#[derive(Deserialize)]
struct Plan {
    name: String,
    storage: PathBuf,
    workers: usize,
    /// A range of workers in place of their number, and the file that says how many there is room for.
    elastic: Option<(usize, usize, PathBuf)>,
    /// A checkpoint by `ctx.step` after so many steps.
    every: Option<u64>,
    keep: Option<usize>,
    max_failures: u64,
    /// `IfExists`, `Never` or `Require`.
    resume: String,
    /// `Wait` or `Replace`.
    asynchronous: Option<WhenBusy>,
    config: Config,
}

#[derive(Config, Serialize, Deserialize, Debug, Clone)]
struct Config {
    adam: bool,
    samples: usize,
    batch_size: usize,
    accumulate: usize,
    epochs: u64,
    /// Calls `ctx.step`.
    counts_steps: bool,
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
struct EpochMetrics {
    epoch: u64,
    #[metric(reduce = mean)]
    loss: f64,
    /// In evaluation mode, where the buffers count.
    #[metric(reduce = mean)]
    val_loss: f64,
    /// All parameters and buffers of this rank, summed up in one word.
    weights: String,
}

/// Points of three classes, from their index alone.
#[derive(Clone)]
struct Points(usize);

struct Points3 {
    indices: Vec<usize>,
    inputs: Tensor,
    labels: Tensor,
}

impl Dataset for Points {
    type Sample = usize;
    type Batch = Points3;

    fn len(&self) -> usize {
        self.0
    }

    fn get(&self, index: usize) -> Result<usize> {
        Ok(index)
    }

    fn collate(&self, indices: Vec<usize>) -> Result<Points3> {
        let value = |index: usize, axis: usize| ((index * 7 + axis * 13) as f32).sin();
        let inputs: Vec<f32> = indices.iter().flat_map(|&index| (0..6).map(move |axis| value(index, axis))).collect();
        let labels: Vec<i64> = indices.iter().map(|&index| (index % 3) as i64).collect();
        Ok(Points3 {
            inputs: Tensor::from_slice(&inputs).f_view([-1, 6])?,
            labels: Tensor::from_slice(&labels),
            indices,
        })
    }
}

#[derive(Debug)]
struct Net {
    first: nn::Linear,
    norm: nn::BatchNorm,
    second: nn::Linear,
}

impl Net {
    fn new(path: &nn::Path<'_>) -> Self {
        Self {
            first: nn::linear(path / "first", 6, 16, nn::LinearConfig::default()),
            norm: nn::batch_norm1d(path / "norm", 16, nn::BatchNormConfig::default()),
            second: nn::linear(path / "second", 16, 3, nn::LinearConfig::default()),
        }
    }

    fn forward(&self, inputs: &Tensor, train: bool) -> Tensor {
        let hidden = self.norm.forward_t(&inputs.apply(&self.first), train).relu();
        hidden.dropout(0.3, train).apply(&self.second)
    }
}

/// Where a fault happens in the middle of saving.
struct Hook {
    faults: Faults,
    steps: std::cell::Cell<u64>,
}

impl TrainState for Hook {
    fn save(&self, _: &mut StateWriter) -> Result<()> {
        Ok(self.faults.at(Moment::Save(self.steps.get()))?)
    }

    fn restore(&mut self, _: &StateReader<'_>) -> Result<()> {
        Ok(())
    }
}

#[derive(TrainState)]
struct State {
    hook: Hook,
    model: Model<Net>,
    adam: Option<AdamW>,
    sgd: Option<Sgd>,
    schedule: Scheduler<CosineLr>,
    loader: DataLoader<Points>,
    ema: Ema,
    /// A generator of the user's own.
    #[state(serde)]
    rng: ChaCha8Rng,
    #[state(serde)]
    epoch: u64,
    /// All of them, over all epochs.
    #[state(serde)]
    done: u64,
    /// The losses of this epoch so far, on this rank.
    #[state(serde)]
    losses: Vec<f64>,
}

impl State {
    fn new(ctx: &Context<EpochMetrics>, config: &Config) -> Result<Self> {
        tch::manual_seed(17);
        let model = ctx.prepare_model(Net::new)?;
        let loader = DataLoader::builder(Points(config.samples)).batch_size(config.batch_size).shuffle(5);
        let loader = ctx.prepare_data_loader(loader.workers(1).accumulate(config.accumulate))?;
        let (mut adam, mut sgd) = (None, None);
        // Not of so many steps as there are: those of another world size are others.
        let schedule = CosineLr::new(60);
        let schedule = if config.adam {
            schedule.attach(adam.insert(AdamW::builder(1e-2).build(&model)?))?
        } else {
            schedule.attach(sgd.insert(Sgd::builder(1e-2).momentum(0.9).build(&model)?))?
        };
        // Each rank drops other neurons.
        tch::manual_seed(100 + ctx.rank() as i64);
        let hook = Hook { faults: Faults::of_rank(ctx.rank())?, steps: 0.into() };
        let ema = Ema::new(&model, 0.9)?;
        let rng = ChaCha8Rng::seed_from_u64(ctx.rank() as u64);
        Ok(Self { hook, model, adam, sgd, schedule, loader, ema, rng, epoch: 0, done: 0, losses: Vec::new() })
    }

    fn step(&mut self, loss: &Tensor, ends_window: bool) -> Result<()> {
        if let Some(adam) = &mut self.adam {
            adam.backward_step(loss)?;
            if ends_window {
                self.schedule.step(adam)?;
            }
        }
        if let Some(sgd) = &mut self.sgd {
            sgd.backward_step(loss)?;
            if ends_window {
                self.schedule.step(sgd)?;
            }
        }
        if ends_window {
            self.ema.update(&self.model)?;
        }
        self.done += 1;
        self.hook.steps.set(self.done);
        Ok(())
    }

    fn weights(&self) -> Result<String> {
        let mut variables: Vec<_> = self.model.vars().variables().into_iter().collect();
        variables.sort_by(|(left, _), (right, _)| left.cmp(right));
        let mut word = 0_u64;
        for (_, tensor) in variables {
            for value in Vec::<f32>::try_from(tensor.f_flatten(0, -1)?.to_kind(Kind::Float))? {
                word = word.wrapping_mul(1_099_511_628_211).wrapping_add(u64::from(value.to_bits()) + 1);
            }
        }
        Ok(format!("{word:016x}"))
    }
}

#[callback(resize)]
fn resized(resize: &Resize, run: &RunInfo) {
    println!("resized from {} to {}, generation {} of {}", resize.from, resize.to, run.generation, run.world_size);
}

#[train_loop(strategy = ddp)]
#[allow(clippy::needless_pass_by_value)] // a train loop is given its config
fn train(ctx: &mut Context<EpochMetrics>, config: Config) -> Result<u64> {
    let mut trace =
        File::options().create(true).append(true).open(format!("{}-trace-{}.jsonl", ctx.run_name(), ctx.rank()))?;
    let mut state = State::new(ctx, &config)?;
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.restore(&mut state)?;
        state.hook.steps.set(state.done);
    }
    trace.write_all(format!("{}\n", json!({ "begins_after": state.done })).as_bytes())?;
    let result = epochs(ctx, &config, &mut state, &mut trace);
    if matches!(result, Err(Error::Stopped)) {
        println!("stopped after {} steps, {} counted", state.done, ctx.steps());
    }
    result?;
    Ok(state.done)
}

fn epochs(ctx: &mut Context<EpochMetrics>, config: &Config, state: &mut State, trace: &mut File) -> Result<()> {
    let all = Points(config.samples).collate((0..config.samples).collect())?;
    while state.epoch < config.epochs {
        for batch in state.loader.epoch(state.epoch)? {
            let batch = batch?;
            let loss =
                state.model.call(|net| net.forward(&batch.inputs, true))?.cross_entropy_for_logits(&batch.labels);
            state.step(&loss, batch.ends_window())?;
            let loss = f64::try_from(&loss)?;
            state.losses.push(loss);
            let indices = &batch.indices[..batch.samples()];
            let line = json!({ "step": state.done, "epoch": state.epoch, "indices": indices, "loss": loss, "drawn": state.rng.random::<u32>() });
            trace.write_all(format!("{line}\n").as_bytes())?;
            state.hook.faults.at(Moment::Step(state.done))?;
            if config.counts_steps {
                ctx.step(state)?;
            }
        }
        state.hook.faults.at(Moment::Epoch(state.epoch + 1))?;
        state.epoch += 1;
        let losses = std::mem::take(&mut state.losses);
        let evaluate = || tch::no_grad(|| state.model.call(|net| net.forward(&all.inputs, false)));
        let logits = state.ema.apply(&state.model, evaluate)?;
        let metrics = EpochMetrics {
            epoch: state.epoch,
            loss: losses.iter().sum::<f64>() / losses.len() as f64,
            val_loss: f64::try_from(logits.cross_entropy_for_logits(&all.labels))?,
            weights: state.weights()?,
        };
        ctx.report_with(metrics, &*state)?;
        state.hook.faults.at(Moment::Report(state.epoch))?;
    }
    Ok(())
}

#[trainloop::main]
fn main() -> Result<()> {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let plan: Plan = serde_json::from_str(&argument).map_err(Error::other)?;
    let resume = match plan.resume.as_str() {
        "Never" => Resume::Never,
        "Require" => Resume::Require,
        _ => Resume::IfExists,
    };
    let mut checkpoint = CheckpointConfig::new().score_min(|metrics: &EpochMetrics| metrics.val_loss);
    if let Some(keep) = plan.keep {
        checkpoint = checkpoint.keep(keep);
    }
    if let Some(every) = plan.every {
        checkpoint = checkpoint.every_steps(every);
    }
    if let Some(when_busy) = plan.asynchronous {
        checkpoint = checkpoint.asynchronous(when_busy);
    }
    let scaling = match plan.elastic {
        Some((least, most, file)) => ScalingConfig::workers(least..=most).slots_file(file),
        None => ScalingConfig::workers(plan.workers),
    };
    let run = RunConfig::named(plan.name).storage(plan.storage).progress(false).resume(resume);
    let outcome = TorchTrainer::<train>::new(plan.config)
        .scaling(scaling)
        .run(run.failure(FailureConfig::max_failures(plan.max_failures)))
        .checkpoint(checkpoint)
        .fit()?;
    let latest = outcome.latest_checkpoint()?;
    let line = json!({
        "steps": outcome.output,
        "metrics": outcome.metrics,
        "reports": outcome.reports,
        "restarts": outcome.restarts,
        "stood_still": outcome.stood_still.as_secs_f64(),
        "latest": latest.as_ref().map(Checkpoint::path),
        "history": outcome.history()?,
    });
    println!("{line}");
    Ok(())
}
