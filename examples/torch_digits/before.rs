//! Handwritten digits in one process, without a trainer: beside `after.rs`, what a loop is before it is spread.
//!
//!     cargo xtask run torch_digits_before -- --epochs 8

#[path = "../digits_common/mod.rs"]
mod common;
#[path = "../digits/data.rs"]
mod data;
#[path = "../digits/net.rs"]
mod net;

use std::fs;
use std::path::Path;
use std::time::Instant;

use common::{Alone, EpochMetrics};
use data::{Digits, Split};
use net::Net;
use serde_json::json;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};
use trainloop::optim::{GroupState, OptimizerState};
use trainloop::prelude::*;

fn main() -> Result<()> {
    let began = Instant::now();
    let work = common::parse::<Alone>().work;
    let config = work.config()?;
    let folder = work.storage.join(work.name.as_deref().unwrap_or("torch_digits_before"));

    let digits = Digits::open(&config.data, Split::Train)?;
    let test = Digits::open(&config.data, Split::Test)?;
    tch::manual_seed(17);
    let mut vars = VarStore::new(Device::Cpu);
    let net = Net::new(&vars.root(), digits.size());
    let loader = DataLoader::builder(digits).batch_size(config.batch_size).shuffle(17).build()?;
    let test = DataLoader::builder(test).batch_size(256).build()?;
    let mut optimizer = AdamW::builder(config.lr).build(&vars)?;
    let steps = (loader.batches() * config.epochs).max(1);
    let mut schedule = CosineLr::new(steps).min_factor(0.1).attach(&mut optimizer)?;

    let mut epoch = 0;
    let mut last = None;
    if folder.join("progress.json").exists() {
        epoch = load(&folder, &mut vars, &mut optimizer)?;
        schedule.seek(epoch * loader.batches(), &mut optimizer)?;
    } else if work.resume {
        return Err(Error::other(format!("there is no run at {}", folder.display())));
    }

    while epoch < config.epochs {
        let mut sums = [0.0, 0.0];
        for batch in loader.epoch(epoch)? {
            let batch = batch?;
            let loss = net.forward(&batch.images).cross_entropy_for_logits(&batch.labels);
            optimizer.backward_step(&loss)?;
            schedule.step(&mut optimizer)?;
            sums[0] += f64::try_from(&loss)? * batch.samples() as f64;
            sums[1] += batch.samples() as f64;
        }
        epoch += 1;
        let metrics = EpochMetrics { epoch, train_loss: sums[0] / sums[1], val_accuracy: accuracy(&net, &test)? };
        if !work.json {
            println!("{metrics:?}");
        }
        // Killed in the middle of this, the run has lost its checkpoint.
        fs::create_dir_all(&folder)?;
        save(&folder, &vars, &optimizer, epoch)?;
        last = Some(metrics);
    }
    work.print(last.as_ref(), &folder, json!({ "seconds": began.elapsed().as_secs_f64() }));
    Ok(())
}

fn accuracy(net: &Net, test: &DataLoader<Digits>) -> Result<f64> {
    let _no_grad = tch::no_grad_guard();
    let (mut right, mut samples) = (0.0, 0.0);
    for batch in test.epoch(0)? {
        let batch = batch?;
        let guess = net.forward(&batch.images).argmax(-1, false);
        right += f64::try_from(guess.eq_tensor(&batch.labels).sum(Kind::Double))?;
        samples += batch.samples() as f64;
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
