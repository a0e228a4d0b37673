//! Twelve steps that are logged and reported, with a checkpoint after every third and all trackers; in its first life rank 0
//! fails at the step that the first argument names. The second argument is how many workers there are, the third how often
//! the group may start again.

use std::fs;

use serde::{Deserialize, Serialize};
use trainloop::prelude::*;
use trainloop::tracker::{Csv, JsonLines, TensorBoard, Tracker};

#[derive(Serialize, Deserialize, Debug, Clone)]
struct Config {
    lr: f64,
    name: String,
    fails_at: u64,
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
struct Numbers {
    #[metric(reduce = mean)]
    reported: f64,
    note: Option<String>,
}

#[derive(TrainState)]
struct State {
    #[state(serde)]
    step: u64,
}

#[train_loop]
#[allow(clippy::needless_pass_by_value)] // a train loop is given its config
fn train(ctx: &mut Context<Numbers>, config: Config) -> Result<()> {
    let mut state = State { step: 0 };
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.restore(&mut state)?;
    }
    let rank = ctx.rank() as f64;
    while state.step < 12 {
        state.step += 1;
        if state.step % 2 == 1 {
            ctx.log(&[("train/loss", 1.0 / state.step as f64), ("train/rank", rank)])?;
        }
        if state.step.is_multiple_of(4) {
            let note = (state.step == 8).then(|| "half, and \"more\"".to_owned());
            ctx.report(Numbers { reported: state.step as f64 + rank, note })?;
        }
        if state.step == config.fails_at && ctx.rank() == 0 && fs::File::create_new("runs/failed").is_ok() {
            return Err(Error::other("a banana"));
        }
        ctx.step(&state)?;
    }
    Ok(())
}

/// Fails at its third record.
struct Fragile(u64);

impl Tracker for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    fn log(&mut self, _: &Logged) -> Result<()> {
        self.0 += 1;
        if self.0 == 3 { Err(Error::other("the tracker is a tomato")) } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<()> {
        println!("fragile had {} records", self.0);
        Ok(())
    }
}

#[trainloop::main]
fn main() -> Result<()> {
    let numbers: Vec<u64> = std::env::args().skip(1).flat_map(|argument| argument.parse()).collect();
    let &[fails_at, workers, restarts] = numbers.as_slice() else {
        return Err(Error::other("three numbers are needed"));
    };
    let run = RunConfig::named("run")
        .storage("runs")
        .progress(false)
        .failure(FailureConfig::max_failures(restarts))
        .tracker(Csv::new())
        .tracker(JsonLines::new())
        .tracker(TensorBoard::new())
        .tracker(Fragile(0));
    TorchTrainer::<train>::new(Config { lr: 0.1, name: "a | b".to_owned(), fails_at })
        .scaling(ScalingConfig::workers(workers as usize))
        .checkpoint(CheckpointConfig::new().every_steps(3))
        .run(run)
        .fit()?;
    Ok(())
}
