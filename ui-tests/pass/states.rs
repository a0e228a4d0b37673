//! States that compile.
#![allow(dead_code)]

use serde::{Deserialize, Serialize};
use tch::nn::Linear;
use trainloop::prelude::*;
use trainloop::state::{StateReader, StateWriter};

#[derive(Clone)]
struct Digits;

impl Dataset for Digits {
    type Sample = ();
    type Batch = ();

    fn len(&self) -> usize {
        0
    }

    fn get(&self, _: usize) -> Result<()> {
        Ok(())
    }

    fn collate(&self, _: Vec<()>) -> Result<()> {
        Ok(())
    }
}

#[derive(TrainState)]
#[state(crate = trainloop)]
struct Everything {
    model: Model<Linear>,
    optimizer: AdamW,
    schedule: Scheduler<CosineLr>,
    loader: DataLoader<Digits>,
    ema: Option<Model<Linear>>,
    nested: Nested<Model<Linear>, f64>,
    several: Vec<Own>,
    #[state(serde, rename = "old-name")]
    epoch: u64,
    #[state(serde)]
    r#type: Vec<(String, f32)>,
    #[state(skip)]
    started: std::time::Instant,
}

#[derive(TrainState)]
struct Nested<T, V> {
    part: T,
    #[state(serde)]
    value: V,
}

#[derive(TrainState)]
struct Tuple(Own, #[state(serde)] u8);

#[derive(TrainState)]
struct Unit;

struct Own;

impl TrainState for Own {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.value("own")
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        from.value::<String>().map(drop)
    }
}

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct EpochMetrics {
    loss: f64,
    inner: Inner,
}

#[derive(Serialize, Deserialize, Clone)]
struct Inner {
    accuracy: f32,
}

#[train_loop(checkpoint(keep = 3, score = max(inner.accuracy), every = "10m"))]
fn by_time(ctx: &mut Context<EpochMetrics>, mut state: u64) -> Result<()> {
    let mut parts = Tuple(Own, 3);
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.restore(&mut parts)?;
    }
    state += 1;
    ctx.step(&parts)?;
    let metrics = EpochMetrics { loss: state as f64, inner: Inner { accuracy: 0.5 } };
    ctx.report_with(metrics.clone(), &parts)?;
    ctx.report_with(metrics, &Files::none())
}

#[train_loop(checkpoint(score = min(loss), every = 1000))]
fn by_steps(_: &mut Context<EpochMetrics>, _: ()) -> Result<()> {
    Ok(())
}

fn main() {
    let _ = TorchTrainer::<by_steps>::new(()).checkpoint(CheckpointConfig::new().keep(2));
    let _ = TorchTrainer::<by_time>::new(0).run(RunConfig::default().resume(Resume::Never));
}
