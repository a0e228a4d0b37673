//! A small run with callbacks of every event; each says in a line of `events.txt` that it ran. The second argument is what
//! goes wrong, and where.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize, Debug, Clone)]
struct Config {
    storage: PathBuf,
    fault: String,
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Numbers {
    step: u64,
    #[metric(reduce = mean)]
    loss: f64,
    #[metric(reduce = sum)]
    added: u64,
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
struct Others {
    #[metric(reduce = sum)]
    count: u64,
}

#[derive(TrainState)]
struct State {
    #[state(serde)]
    step: u64,
}

const FAULT: &str = "TRAINLOOP_TEST_FAULT";

/// `Ok`, unless the test wants this place to fail.
fn note(folder: &Path, line: &str, place: &str) -> Result<()> {
    note_in(&folder.join("events.txt"), line, place)
}

fn note_in(path: &Path, line: &str, place: &str) -> Result<()> {
    // One write of one line: the ranks' do not mix.
    let mut file = File::options().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    match std::env::var(FAULT).unwrap_or_default() {
        fault if fault == place => Err(Error::other(format!("the {place} is a banana"))),
        fault if fault == format!("{place}-panic") => panic!("the {place} is a tomato"),
        _ => Ok(()),
    }
}

/// The run's folder, which a worker's callback is not told.
fn folder() -> PathBuf {
    PathBuf::from("runs/run")
}

#[callback(report)]
fn add(report: &mut Report<Numbers>, worker: &WorkerInfo) -> Result<()> {
    report.metrics_mut().added = worker.rank as u64 + 1;
    let (rank, index) = (report.rank(), report.index());
    let line = format!("report {index} in worker {rank} of {}, {}", worker.world_size, report.is_checkpoint());
    note(&folder(), &line, &format!("report-{rank}"))
}

/// First in the file, last by its order.
#[callback(report, on = driver, order = 5)]
fn last(run: &RunInfo) -> Result<()> {
    note(&run.path, "  last", "last")
}

#[callback(report, on = driver)]
fn with_numbers(run: &RunInfo, reduced: &Reduced<Numbers>, ranks: &Ranks<Numbers>) -> Result<()> {
    let Numbers { step, loss, added } = &**reduced;
    let each: Vec<u64> = ranks.iter().map(|metrics| metrics.added).collect();
    note(&run.path, &format!("report {step} in driver: {loss} {added} {each:?}"), "driver")
}

#[callback(report, on = driver, order = -1)]
fn first(run: &RunInfo) -> Result<()> {
    note(&run.path, &format!("  first, generation {}", run.generation), "first")
}

#[callback(report, on = driver)]
fn of_others(_: &Ranks<Others>, run: &RunInfo) -> Result<()> {
    note(&run.path, "a report of the other loop", "others")
}

#[callback(run_start, only = other)]
fn of_other_alone(run: &RunInfo) -> Result<()> {
    note(&run.path, "the other loop starts", "other")
}

#[callback(run_start)]
fn start(run: &RunInfo) -> Result<()> {
    note(&run.path, &format!("start {} with {}", run.name, run.world_size), "start")
}

#[callback(checkpoint)]
fn saved(info: &CheckpointInfo, metrics: Option<&Reduced<Numbers>>, run: &RunInfo) -> Result<()> {
    let there = info.path.join("manifest.json").exists();
    let step = metrics.map(|metrics| metrics.step);
    note(&run.path, &format!("checkpoint {} with {step:?} and {:?}, {there}", info.index, info.score), "checkpoint")
}

#[callback(exception)]
fn failed(failure: &RunFailure, run: &RunInfo) -> Result<()> {
    let first = failure.to_string().lines().next().unwrap_or_default().to_owned();
    note(&run.path, &format!("exception after {} restarts: {first}", run.restarts), "exception")
}

#[callback(restart)]
fn again(failure: &RunFailure, run: &RunInfo) -> Result<()> {
    let line = format!("restart {} after {}, generation {}", run.restarts, failure.kind, run.generation);
    note(&run.path, &line, "restart")
}

#[callback(state)]
fn changed(change: &StateChange, run: &RunInfo) -> Result<()> {
    let from = change.from.map_or("nothing".to_owned(), |from| from.to_string());
    let line = format!("{from} to {} in generation {} of {}", change.to, run.generation, change.generation);
    note_in(&run.path.join("states.txt"), &line, &format!("state-{}", change.to))
}

#[callback(run_end)]
fn end(run: &RunInfo, end: &RunEnd, metrics: Option<&Reduced<Numbers>>) -> Result<()> {
    let how = match end {
        RunEnd::Failed { error } => error.lines().next().unwrap_or_default().to_owned(),
        other => format!("{other:?}"),
    };
    note(&run.path, &format!("end after {} restarts: {how}, {:?}", run.restarts, metrics.map(|m| m.step)), "end")
}

#[train_loop]
fn train(ctx: &mut Context<Numbers>, config: Config) -> Result<()> {
    let mut state = State { step: 0 };
    let resumed = ctx.checkpoint()?;
    if let Some(checkpoint) = &resumed {
        checkpoint.restore(&mut state)?;
    }
    while state.step < 2 {
        state.step += 1;
        ctx.report_with(Numbers { step: state.step, loss: ctx.rank() as f64, added: 0 }, &state)?;
        if config.fault.contains("loop") && resumed.is_none() {
            ctx.barrier()?;
            return Err(Error::other("the loop is a banana"));
        }
    }
    Ok(())
}

#[train_loop]
fn other(ctx: &mut Context<Others>, _config: Config) -> Result<()> {
    ctx.report(Others { count: 1 })
}

#[trainloop::main]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [workers, train_loop, fault] = arguments.as_slice() else {
        return Err(Error::other("usage: callbacks WORKERS LOOP FAULT"));
    };
    let workers = ScalingConfig::workers(workers.parse::<usize>().map_err(Error::other)?);
    let config = Config { storage: PathBuf::from("runs"), fault: fault.clone() };
    let mut run = RunConfig::named("run").storage(&config.storage);
    if fault.contains("restart") {
        run = run.failure(FailureConfig::max_failures(1));
    }
    if train_loop == "other" {
        TorchTrainer::<other>::new(config).scaling(workers).run(run).fit()?;
    } else {
        TorchTrainer::<train>::new(config).scaling(workers).run(run).fit()?;
    }
    Ok(())
}
