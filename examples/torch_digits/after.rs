//! The loop of `before.rs` on any number of workers: it reports, and has its own files as checkpoints.
//!
//!     cargo xtask run torch_digits -- --workers 2 --epochs 8

#[path = "../digits_common/mod.rs"]
mod common;
#[path = "../digits/data.rs"]
mod data;
#[path = "../digits/net.rs"]
mod net;

use std::fs;
use std::path::Path;

use common::{Config, EpochMetrics, Options};
use data::{Digits, Split};
use net::Net;
use serde_json::json;
use tch::nn::VarStore;
use tch::{Kind, Tensor};
use trainloop::optim::{GroupState, OptimizerState};
use trainloop::prelude::*;

#[trainloop::main]
fn main() -> Result<()> {
    common::parse::<Options>().fit::<train>()
}

#[train_loop(strategy = ddp, checkpoint(keep = 3, score = max(val_accuracy)))]
fn train(ctx: &mut Context<EpochMetrics>, config: Config) -> Result<()> {
    let digits = Digits::open(&config.data, Split::Train)?;
    let test = Digits::open(&config.data, Split::Test)?;
    tch::manual_seed(17);
    let mut vars = VarStore::new(ctx.device());
    let net = Net::new(&vars.root(), digits.size());
    let loader = ctx.prepare_data_loader(DataLoader::builder(digits).batch_size(config.batch_size).shuffle(17))?;
    let test = ctx.prepare_data_loader(DataLoader::builder(test).batch_size(256))?;
    let mut optimizer = ctx.prepare_optimizer(AdamW::builder(config.lr).build(&vars)?);
    let steps = (loader.batches() * config.epochs).max(1);
    let mut schedule = CosineLr::new(steps).min_factor(0.1).attach(&mut optimizer)?;

    let mut epoch = 0;
    if let Some(checkpoint) = ctx.checkpoint()? {
        epoch = checkpoint.as_directory(|folder| load(folder, &mut vars, &mut optimizer))?;
        schedule.seek(epoch * loader.batches(), &mut optimizer)?;
    }
    let model = ctx.prepare_built_model((vars, net), ModelOptions::default())?;

    while epoch < config.epochs {
        let mut sums = [0.0, 0.0];
        for batch in loader.epoch(epoch)? {
            let batch = batch?.on_device(ctx.device())?;
            let loss = model.call(|net| net.forward(&batch.images))?.cross_entropy_for_logits(&batch.labels);
            optimizer.backward_step(&loss)?;
            schedule.step(&mut optimizer)?;
            sums[0] += f64::try_from(&loss)? * batch.samples() as f64;
            sums[1] += batch.samples() as f64;
        }
        epoch += 1;
        let [loss, samples] = ctx.all_reduce(sums, ReduceOp::Sum)?;
        let metrics = EpochMetrics { epoch, train_loss: loss / samples, val_accuracy: accuracy(ctx, &model, &test)? };
        // Rank 0's files are the checkpoint: it is there when all of it is.
        let folder = std::env::temp_dir().join(format!("torch_digits-{}", std::process::id()));
        let files = if ctx.rank() == 0 {
            fs::create_dir_all(&folder)?;
            save(&folder, model.vars(), &optimizer, epoch)?;
            Files::of(&folder)
        } else {
            Files::none()
        };
        ctx.report_with(metrics, &files)?;
        if ctx.rank() == 0 {
            fs::remove_dir_all(&folder)?;
        }
    }
    Ok(())
}

fn accuracy(ctx: &Context<EpochMetrics>, model: &Model<Net>, test: &DataLoader<Digits>) -> Result<f64> {
    let _no_grad = tch::no_grad_guard();
    let (mut right, mut samples) = (0.0, 0.0);
    for batch in test.epoch(0)? {
        let batch = batch?.on_device(ctx.device())?;
        let guess = model.call(|net| net.forward(&batch.images))?.argmax(-1, false);
        let (guess, labels) = ctx.gather_for_metrics(&batch, (&guess, &batch.labels))?;
        right += f64::try_from(guess.eq_tensor(&labels).sum(Kind::Double))?;
        samples += labels.size()[0] as f64;
    }
    Ok(right / samples)
}

/// The checkpoint by hand: three files.
fn save(folder: &Path, vars: &VarStore, optimizer: &AdamW, epoch: u64) -> Result<()> {
    let OptimizerState { kind, groups, tensors } = optimizer.state()?;
    vars.save(folder.join("model.safetensors"))?;
    Tensor::write_safetensors(&tensors, folder.join("optimizer.safetensors"))?;
    fs::write(folder.join("progress.json"), json!({ "epoch": epoch, "kind": kind, "groups": groups }).to_string())?;
    Ok(())
}

/// The epoch to go on with.
fn load(folder: &Path, vars: &mut VarStore, optimizer: &mut AdamW) -> Result<u64> {
    let progress = fs::read_to_string(folder.join("progress.json"))?;
    let (epoch, kind, groups): (u64, String, Vec<GroupState>) = parse(&progress)?;
    vars.load(folder.join("model.safetensors"))?;
    let tensors = Tensor::read_safetensors(folder.join("optimizer.safetensors"))?;
    optimizer.load_state(&OptimizerState { kind, groups, tensors })?;
    Ok(epoch)
}

fn parse(progress: &str) -> Result<(u64, String, Vec<GroupState>)> {
    #[derive(serde::Deserialize)]
    struct Progress {
        epoch: u64,
        kind: String,
        groups: Vec<GroupState>,
    }
    let Progress { epoch, kind, groups } = serde_json::from_str(progress).map_err(Error::other)?;
    Ok((epoch, kind, groups))
}
