//! Two epochs of two windows of two batches, with a validation after each, on two ranks; a callback on every event of a worker
//! says in a line of `events-RANK.txt` that it ran.

use std::fs::File;
use std::io::Write;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize, Debug, Clone)]
struct Config {}

#[derive(Clone)]
struct Numbers(usize);

impl Dataset for Numbers {
    type Sample = f64;
    type Batch = Tensor;

    fn len(&self) -> usize {
        self.0
    }

    fn get(&self, index: usize) -> Result<f64> {
        Ok(index as f64)
    }

    fn collate(&self, samples: Vec<f64>) -> Result<Tensor> {
        Ok(Tensor::from_slice(&samples).view([-1, 1]))
    }
}

#[derive(TrainState)]
struct State {
    model: Model<nn::Linear>,
    optimizer: Sgd,
    train: DataLoader<Numbers>,
}

/// What is to happen at a line of rank 1: `fail@LINE` or `stop@LINE`.
const ACT: &str = "TRAINLOOP_TEST_ACT";

/// Notes the line, and does what the test wants to happen there.
fn note(line: &str, worker: &WorkerInfo, control: Option<&Control>) -> Result<()> {
    let path = format!("runs/run/events-{}.txt", worker.rank);
    writeln!(File::options().create(true).append(true).open(path)?, "{line}")?;
    let act = std::env::var(ACT).unwrap_or_default();
    match (act.split_once('@'), control) {
        (Some(("fail", at)), _) if at == line && worker.rank == 1 => Err(Error::other("the callback is a banana")),
        (Some(("stop", at)), Some(control)) if at == line && worker.rank == 1 => {
            control.request_stop();
            Ok(())
        }
        _ => Ok(()),
    }
}

#[callback(train_start)]
fn at_train_start(worker: &WorkerInfo, control: &Control) -> Result<()> {
    note("train_start", worker, Some(control))
}

#[callback(train_end)]
fn at_train_end(worker: &WorkerInfo, control: &Control) -> Result<()> {
    note("train_end", worker, Some(control))
}

#[callback(epoch_start)]
fn at_epoch_start(epoch: &EpochInfo, worker: &WorkerInfo, control: &Control) -> Result<()> {
    note(&format!("epoch_start {} of {} batches", epoch.epoch, epoch.batches), worker, Some(control))
}

#[callback(epoch_end)]
fn at_epoch_end(epoch: &EpochInfo, worker: &WorkerInfo, control: &Control) -> Result<()> {
    note(&format!("epoch_end {}", epoch.epoch), worker, Some(control))
}

#[callback(step_start)]
fn at_step_start(epoch: &EpochInfo, worker: &WorkerInfo, control: &Control) -> Result<()> {
    note(&format!("step_start {} in epoch {}", worker.steps, epoch.epoch), worker, Some(control))
}

#[callback(step_end)]
fn at_step_end(worker: &WorkerInfo, control: &Control) -> Result<()> {
    note(&format!("step_end {}", worker.steps), worker, Some(control))
}

#[callback(before_backward)]
fn before(loss: &Tensor, worker: &WorkerInfo, control: &Control) -> Result<()> {
    assert!(loss.requires_grad() && loss.size().is_empty());
    note("before_backward", worker, Some(control))
}

#[callback(after_backward)]
fn after(loss: &Tensor, worker: &WorkerInfo, control: &Control) -> Result<()> {
    assert!(loss.requires_grad());
    note("after_backward", worker, Some(control))
}

#[callback(before_optimizer_step)]
fn at_optimizer_step(worker: &WorkerInfo, control: &Control) -> Result<()> {
    note("before_optimizer_step", worker, Some(control))
}

#[callback(validation_start)]
fn at_validation_start(worker: &WorkerInfo, control: &Control) -> Result<()> {
    note("validation_start", worker, Some(control))
}

#[callback(validation_end)]
fn at_validation_end(worker: &WorkerInfo, control: &Control) -> Result<()> {
    note("validation_end", worker, Some(control))
}

#[callback(report)]
fn at_report(worker: &WorkerInfo, control: &Control) -> Result<()> {
    note("report", worker, Some(control))
}

#[callback(log)]
fn at_log(logged: &Logged, worker: &WorkerInfo, control: &Control) -> Result<()> {
    let what = match (logged.report(), logged.get("epoch")) {
        (Some(report), _) => format!("report {report}"),
        (None, Some(epoch)) => format!("epoch {epoch}"),
        (None, None) => "nothing".to_owned(),
    };
    note(&format!("log {what} at step {}", logged.step()), worker, Some(control))
}

#[callback(stop)]
fn at_stop(worker: &WorkerInfo) -> Result<()> {
    note("stop", worker, None)
}

/// Gives how many steps were made.
#[train_loop]
fn train(ctx: &mut Context, _config: Config) -> Result<u64> {
    let options = ModelOptions::default().kind(Kind::Double);
    let model = ctx.prepare_model_with(options, |path| nn::linear(path, 1, 1, nn::LinearConfig::default()))?;
    let optimizer = Sgd::builder(0.001).build(&model)?;
    let train = ctx.prepare_data_loader(DataLoader::builder(Numbers(8)).accumulate(2))?;
    let mut state = State { model, optimizer, train };
    let held_out = ctx.prepare_data_loader(DataLoader::builder(Numbers(2)))?;
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.restore(&mut state)?;
    }
    for epoch in 0..2 {
        for batch in state.train.epoch(epoch)? {
            let batch = batch?;
            let loss = state.model.call(|net| batch.apply(net))?.square().mean(None);
            state.optimizer.backward_step(&loss)?;
            ctx.step(&state)?;
            if ctx.should_stop() {
                return Ok(ctx.steps());
            }
        }
        ctx.validate(|ctx| {
            for batch in held_out.epoch(epoch)? {
                let batch = batch?;
                let outputs = state.model.call(|net| batch.apply(net))?;
                assert!(!outputs.requires_grad());
            }
            ctx.barrier()
        })?;
        ctx.log(&[("epoch", epoch)])?;
        ctx.report_with((), &state)?;
    }
    Ok(ctx.steps())
}

#[trainloop::main]
fn main() -> Result<()> {
    let run = RunConfig::named("run").storage("runs").progress(false);
    let trainer = TorchTrainer::<train>::new(Config {}).scaling(ScalingConfig::workers(2));
    println!("steps: {}", trainer.run(run).fit()?.output);
    Ok(())
}
