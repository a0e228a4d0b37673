//! Callbacks that compile.
#![allow(clippy::all, clippy::pedantic, unreachable_pub)] // as users write, not as this project does
#![allow(dead_code)]

use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct M {
    #[metric(reduce = mean)]
    loss: f64,
}

type R = Report<M>;

/// Everything, in another order, through an alias.
#[callback(report)]
fn worker(worker: &WorkerInfo, report: &mut R) -> Result<()> {
    report.metrics_mut().loss += worker.rank as f64;
    Ok(())
}

/// Looks at the report, and has every option.
#[callback(report, on = worker, order = -3, only = inner::train, crate = trainloop)]
pub(crate) fn looks(report: &Report<M>) {
    assert!(report.metrics().loss.is_finite());
}

/// Another error type.
#[callback(report, on = driver)]
fn driver(ranks: &Ranks<M>, reduced: &Reduced<M>, run: &RunInfo) -> anyhow::Result<()> {
    anyhow::ensure!(reduced.loss < 1e3, "{} diverged on {} ranks", run.name, ranks.world_size());
    Ok(())
}

#[callback(run_start)]
fn nothing() {}

#[trainloop::callback(run_end)]
fn end(end: &RunEnd, last: Option<&Reduced<M>>) {
    let _ = (end == &RunEnd::Finished, last.map(|metrics| metrics.loss));
}

#[callback(checkpoint)]
fn checkpoint(info: &CheckpointInfo, _: Option<&Reduced<M>>, _: &RunInfo) -> Result<()> {
    Checkpoint::from_directory(&info.path).map(drop)
}

#[callback(exception)]
fn exception(failure: &RunFailure, _: &RunInfo) {
    eprintln!("{failure}");
}

#[callback(restart)]
fn restart(failure: &RunFailure, _: &RunInfo) {
    eprintln!("again after {failure}");
}

#[callback(resize)]
fn resize(resize: &Resize) {
    eprintln!("{} workers instead of {}", resize.to, resize.from);
}

#[callback(state, on = driver)]
fn state(change: &StateChange, run: &RunInfo) -> Result<()> {
    let _ = (change.to == RunState::Running, &run.name);
    Ok(())
}

mod inner {
    use super::{Context, M, Result};

    #[trainloop::train_loop]
    pub(super) fn train(ctx: &mut Context<M>, _config: ()) -> Result<()> {
        ctx.report(M { loss: 0.5 })
    }
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunConfig::default().storage(folder.path()).progress(false);
    let outcome = TorchTrainer::<inner::train>::new(()).run(run).fit().unwrap();
    assert_eq!(outcome.metrics.unwrap().loss, 0.5);
    // It is still a function.
    nothing();
}
