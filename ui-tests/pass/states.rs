//! States that compile.
#![allow(clippy::all, clippy::pedantic, unreachable_pub)] // as users write, not as this project does
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

/// Every option of a field, and a version.
#[derive(TrainState)]
#[state(version = 2)]
struct Options<T, const N: usize> {
    #[state(with = generator)]
    generator: Generator,
    #[state(with = self::generator, default = Generator(3), alias = "old_generator")]
    another: Generator,
    #[state(alias = "net", alias = "model")]
    part: T,
    #[state(default)]
    ema: Option<T>,
    #[state(default = Vec::new())]
    several: Vec<T>,
    #[state(serde, default = Self::PATIENCE, rename = "wait")]
    patience: u64,
    #[state(serde, default, alias = "größe")]
    sizes: Vec<usize>,
    #[state(serde)]
    #[state(default = default_name())]
    name: String,
    #[state(serde, default = None)]
    last: Option<f64>,
    #[state(serde)]
    few: Few<N>,
}

impl<T, const N: usize> Options<T, N> {
    const PATIENCE: u64 = 3;
}

#[derive(Serialize, Deserialize)]
struct Few<const N: usize>(u8);

fn default_name() -> String {
    "net".to_owned()
}

/// As a type of another crate.
struct Generator(u64);

mod generator {
    use super::{Generator, StateReader, StateWriter};

    pub(super) fn save(generator: &Generator, out: &mut StateWriter) -> trainloop::Result<()> {
        out.value(&generator.0)
    }

    pub(super) fn restore(generator: &mut Generator, from: &StateReader<'_>) -> trainloop::Result<()> {
        generator.0 = if from.version() < 2 { 0 } else { from.value()? };
        Ok(())
    }
}

/// Every kind of variant.
#[derive(TrainState)]
#[state(version = 3)]
enum Phase<T, V> {
    Warmup,
    Empty {},
    Nothing(),
    #[state(rename = "main", alias = "Main")]
    Training {
        #[state(serde, default = 1)]
        step: u64,
        #[state(serde, default)]
        out: V,
        #[state(serde, alias = "old")]
        from: V,
    },
    Averaging(T, #[state(serde)] u64, #[state(skip)] std::time::Instant, #[state(with = generator)] Generator),
    #[allow(non_camel_case_types)]
    r#type {
        r#loop: T,
    },
}

#[derive(TrainState)]
enum Single {
    Only { r#match: Own },
}

/// Names of the prelude that mean something else here, as they may where the derive stands.
mod shadowed {
    use ::trainloop::TrainState;

    #[allow(non_snake_case)]
    fn Ok() {}
    #[allow(non_snake_case)]
    fn Err() {}
    struct Result;
    struct Option;
    mod trainloop {}
    mod std {}
    mod core {}

    #[derive(TrainState)]
    #[state(crate = ::trainloop, version = 2)]
    enum Shadowed {
        Ok,
        Err {
            #[state(serde, default = 1)]
            out: u64,
        },
        Some(#[state(serde, alias = "None")] u64),
    }
}

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
