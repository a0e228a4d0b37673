//! The loop of `before.rs` with an `Accelerator`: on any number of workers, saved and gone on with.
//!
//!     cargo xtask run accelerate_digits -- --workers 2 --epochs 8

#[path = "../digits_common/mod.rs"]
mod common;
#[path = "../digits/data.rs"]
mod data;
#[path = "../digits/net.rs"]
mod net;

use common::{Config, EpochMetrics, Options};
use data::{Digits, Split};
use net::Net;
use tch::Kind;
use tch::nn::VarStore;
use trainloop::accelerate::Accelerator;
use trainloop::prelude::*;

#[trainloop::main]
fn main() -> Result<()> {
    common::parse::<Options>().fit::<train>()
}

/// What a checkpoint holds beside what was prepared.
#[derive(TrainState, Default)]
struct Progress {
    #[state(serde)]
    epoch: u64,
    /// Of this epoch so far, on this rank.
    #[state(serde)]
    sums: [f64; 2],
}

#[train_loop(strategy = ddp, checkpoint(keep = 3, score = max(val_accuracy)))]
fn train(ctx: &mut Context<EpochMetrics>, config: Config) -> Result<()> {
    let mut accelerator = Accelerator::builder().build(ctx)?;
    let digits = Digits::open(&config.data, Split::Train)?;
    let test = Digits::open(&config.data, Split::Test)?;

    tch::manual_seed(17);
    let vars = VarStore::new(accelerator.device());
    let net = Net::new(&vars.root(), digits.size());
    let loader = DataLoader::builder(digits).batch_size(config.batch_size).shuffle(17);
    let test = DataLoader::builder(test).batch_size(256);
    let (loader, test) = accelerator.prepare((loader, test))?;
    let mut optimizer = AdamW::builder(config.lr).build(&vars)?;
    // Of one process: the schedule steps once for each.
    let steps = (loader.batches() * config.epochs * accelerator.num_processes() as u64).max(1);
    let schedule = CosineLr::new(steps).min_factor(0.1).attach(&mut optimizer)?;
    let (model, mut optimizer, mut schedule) = accelerator.prepare(((vars, net), optimizer, schedule))?;
    let progress = accelerator.register_for_checkpointing(Progress::default());
    accelerator.load_state()?;

    let device = accelerator.device();
    while progress.borrow().epoch < config.epochs {
        let epoch = progress.borrow().epoch;
        for batch in loader.epoch(epoch)? {
            let batch = batch?.on_device(device)?;
            let loss = model.call(|net| net.forward(&batch.images))?.cross_entropy_for_logits(&batch.labels);
            accelerator.backward(&loss)?;
            accelerator.clip_grad_norm(&mut optimizer, 1.0)?;
            optimizer.step()?;
            schedule.step(&mut optimizer)?;
            optimizer.zero_grad()?;
            let samples = batch.samples() as f64;
            let loss = f64::try_from(&loss)?;
            let sums = progress.borrow().sums;
            progress.borrow_mut().sums = [sums[0] + loss * samples, sums[1] + samples];
            accelerator.step()?;
        }
        let (mut right, mut tested) = (0.0, 0.0);
        for batch in test.epoch(0)? {
            let batch = batch?.on_device(device)?;
            let guess = tch::no_grad(|| model.call(|net| net.forward(&batch.images)))?.argmax(-1, false);
            let (guess, labels) = accelerator.gather_for_metrics(&batch, (&guess, &batch.labels))?;
            right += f64::try_from(guess.eq_tensor(&labels).sum(Kind::Double))?;
            tested += labels.size()[0] as f64;
        }
        let [loss, samples] = accelerator.context().all_reduce(progress.borrow().sums, ReduceOp::Sum)?;
        *progress.borrow_mut() = Progress { epoch: epoch + 1, sums: [0.0; 2] };
        let (train_loss, val_accuracy) = (loss / samples, right / tested);
        accelerator.save_state_with(EpochMetrics { epoch: epoch + 1, train_loss, val_accuracy })?;
    }
    Ok(())
}
