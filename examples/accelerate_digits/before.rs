//! Handwritten digits in one process, by hand: beside `after.rs`, what a loop is before an `Accelerator` comes in.
//!
//!     cargo xtask run accelerate_digits_before -- --epochs 8

#[path = "../digits_common/mod.rs"]
mod common;
#[path = "../digits/data.rs"]
mod data;
#[path = "../digits/net.rs"]
mod net;

use std::time::Instant;

use common::{Alone, EpochMetrics};
use data::{Digits, Split};
use net::Net;
use serde_json::json;
use tch::nn::VarStore;
use tch::{Device, Kind};
use trainloop::prelude::*;

fn main() -> Result<()> {
    let began = Instant::now();
    let work = common::parse::<Alone>().work;
    if work.resume {
        return Err(Error::other("this loop keeps nothing that it could go on from; `accelerate_digits` does"));
    }
    let config = work.config()?;
    let digits = Digits::open(&config.data, Split::Train)?;
    let test = Digits::open(&config.data, Split::Test)?;

    tch::manual_seed(17);
    let vars = VarStore::new(Device::Cpu);
    let net = Net::new(&vars.root(), digits.size());
    let loader = DataLoader::builder(digits).batch_size(config.batch_size).shuffle(17).build()?;
    let test = DataLoader::builder(test).batch_size(256).build()?;
    let mut optimizer = AdamW::builder(config.lr).build(&vars)?;
    let steps = (loader.batches() * config.epochs).max(1);
    let mut schedule = CosineLr::new(steps).min_factor(0.1).attach(&mut optimizer)?;

    let mut last = None;
    for epoch in 0..config.epochs {
        let (mut loss_sum, mut samples) = (0.0, 0.0);
        for batch in loader.epoch(epoch)? {
            let batch = batch?;
            let loss = net.forward(&batch.images).cross_entropy_for_logits(&batch.labels);
            optimizer.backward(&loss)?;
            let _norm = optimizer.clip_grad_norm(1.0)?;
            optimizer.step()?;
            schedule.step(&mut optimizer)?;
            optimizer.zero_grad()?;
            loss_sum += f64::try_from(&loss)? * batch.samples() as f64;
            samples += batch.samples() as f64;
        }
        let (mut right, mut tested) = (0.0, 0.0);
        for batch in test.epoch(0)? {
            let batch = batch?;
            let guess = tch::no_grad(|| net.forward(&batch.images)).argmax(-1, false);
            right += f64::try_from(guess.eq_tensor(&batch.labels).sum(Kind::Double))?;
            tested += batch.labels.size()[0] as f64;
        }
        let metrics = EpochMetrics { epoch: epoch + 1, train_loss: loss_sum / samples, val_accuracy: right / tested };
        if !work.json {
            println!("{metrics:?}");
        }
        last = Some(metrics);
    }
    work.print(last.as_ref(), &work.storage, json!({ "seconds": began.elapsed().as_secs_f64() }));
    Ok(())
}
