//! Does on each rank what the test's script says for this start of the group, and prints the outcome in JSON.
//!
//!     checkpoints fit PLAN | open RUN | copy CHECKPOINT TARGET

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::nn::{self, Init, LinearConfig};
use trainloop::prelude::*;
use trainloop::state::{StateReader, StateWriter};
use trainloop_tests::fault::await_file;
use trainloop_tests::script::{Act, SCRIPT};

#[derive(Deserialize)]
struct Plan {
    storage: PathBuf,
    workers: usize,
    keep: Option<usize>,
    /// `max` or `min`.
    score: Option<String>,
    /// `None`: any number.
    max_failures: Option<u64>,
    max_start_failures: Option<u64>,
    start_timeout_ms: Option<u64>,
}

#[derive(Config, Serialize, Deserialize, Debug, Clone)]
struct Config {
    label: String,
}

/// How often this driver's group was started before.
fn number_of_start() -> Result<usize> {
    let path = std::env::var("TRAINLOOP_TEST_RUN").map_err(Error::other)?;
    let before: usize = std::env::var("TRAINLOOP_TEST_STARTS").map_err(Error::other)?.parse().map_err(Error::other)?;
    let now: usize = fs::read_to_string(Path::new(&path).join("generation"))?.trim().parse().map_err(Error::other)?;
    Ok(now - before - 1)
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
struct Value1 {
    #[metric(reduce = mean)]
    value: f64,
}

fn metrics(text: &str) -> Result<Value1> {
    Ok(Value1 { value: text.parse().map_err(Error::other)? })
}

/// A loop's state as it was, and as it became later.
#[derive(TrainState)]
struct Plain {
    model: Model<nn::Linear>,
    #[state(serde)]
    count: u64,
}

#[derive(TrainState)]
struct Added {
    model: Model<nn::Linear>,
    #[state(serde)]
    count: u64,
    #[state(serde)]
    patience: u64,
}

#[derive(TrainState)]
struct Removed {
    model: Model<nn::Linear>,
}

#[derive(TrainState)]
struct Renamed {
    model: Model<nn::Linear>,
    #[state(serde)]
    counter: u64,
}

#[derive(TrainState)]
struct RenamedKnowingly {
    model: Model<nn::Linear>,
    #[state(serde, rename = "count")]
    counter: u64,
}

/// Waits while it is saved.
struct Pausing(usize);

impl TrainState for Pausing {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        fs::write(format!("paused-{}", self.0), "")?;
        await_file(Path::new("go"));
        out.value(&1)
    }

    fn restore(&mut self, _: &StateReader<'_>) -> Result<()> {
        Ok(())
    }
}

fn model(ctx: &Context<Value1>, outputs: i64) -> Result<Model<nn::Linear>> {
    let config = LinearConfig { ws_init: Init::Const(0.25), bs_init: Some(Init::Const(-1.0)), bias: true };
    ctx.prepare_model(|path| nn::linear(path, 4, outputs, config))
}

#[train_loop(strategy = ddp)]
#[allow(clippy::needless_pass_by_value)] // a train loop is given its config
fn play(ctx: &mut Context<Value1>, config: Config) -> Result<()> {
    assert_eq!(ctx.run_name(), config.label);
    let script = std::env::var(SCRIPT).map_err(Error::other)?;
    let script: Vec<Vec<Vec<Act>>> = serde_json::from_str(&script).map_err(Error::other)?;
    let start = number_of_start()?;
    let start = script.get(start).or(script.last()).and_then(|ranks| ranks.get(ctx.rank()));
    for act in start.into_iter().flatten() {
        perform(ctx, act)?;
    }
    Ok(())
}

fn perform(ctx: &mut Context<Value1>, act: &Act) -> Result<()> {
    match act {
        Act::Report(value) => ctx.report(metrics(value)?),
        Act::Files(value, files) => {
            // Beside the script, not in the system's folder for temporary files: none is left.
            let folder = PathBuf::from(format!("files-of-{}", ctx.rank()));
            let _ = fs::remove_dir_all(&folder);
            for (name, bytes) in files {
                let path = folder.join(name);
                fs::create_dir_all(path.parent().unwrap_or(&folder))?;
                fs::write(path, vec![b'x'; *bytes])?;
            }
            ctx.report_with(metrics(value)?, &if files.is_empty() { Files::none() } else { Files::of(folder) })
        }
        Act::State(value) => {
            let state = Plain { model: model(ctx, 2)?, count: 7 };
            ctx.report_with(metrics(value)?, &state)
        }
        Act::PausingState(value) => ctx.report_with(metrics(value)?, &Pausing(ctx.rank())),
        Act::Restore(shape) => restore(ctx, shape),
        Act::ShowCheckpoint => {
            match ctx.checkpoint()? {
                Some(checkpoint) => println!("begins from checkpoint {}", checkpoint.index()),
                None => println!("begins from nothing"),
            }
            Ok(())
        }
        Act::Make(file) => Ok(fs::write(file, "")?),
        Act::Await(file) => {
            await_file(Path::new(file));
            Ok(())
        }
        Act::Barrier => ctx.barrier(),
        Act::Error(words) => Err(Error::other(words.clone())),
        Act::KillItself => Ok(kill_process(getpid(), Signal::KILL).map_err(std::io::Error::from)?),
    }
}

fn restore(ctx: &Context<Value1>, shape: &str) -> Result<()> {
    let Some(checkpoint) = ctx.checkpoint()? else { return Err(Error::other("no checkpoint")) };
    let model = model(ctx, if shape == "wide" { 3 } else { 2 })?;
    match shape {
        "added" => checkpoint.restore(&mut Added { model, count: 0, patience: 0 }),
        "removed" => checkpoint.restore(&mut Removed { model }),
        "renamed" => checkpoint.restore(&mut Renamed { model, counter: 0 }),
        "renamed knowingly" => {
            let mut state = RenamedKnowingly { model, counter: 0 };
            checkpoint.restore(&mut state)?;
            println!("restored {}", state.counter);
            Ok(())
        }
        _ => checkpoint.restore(&mut Plain { model, count: 0 }),
    }
}

/// What a test can compare: JSON has no NaN.
fn shown(outcome: &Outcome<play>) -> Result<Value> {
    let text = |metrics: &Value1| metrics.value.to_string();
    let checkpoint = |checkpoint: Option<Checkpoint>| -> Result<Value> {
        let Some(checkpoint) = checkpoint else { return Ok(Value::Null) };
        let value = checkpoint.metrics::<Value1>()?.as_ref().map(text);
        Ok(json!({ "index": checkpoint.index(), "value": value, "world_size": checkpoint.world_size() }))
    };
    let ranks = outcome.history_of_ranks()?;
    Ok(json!({
        "value": outcome.metrics.as_ref().map(text),
        "reports": outcome.reports,
        "restarts": outcome.restarts,
        "history": outcome.history()?.iter().map(text).collect::<Vec<_>>(),
        "rounds": ranks.len(),
        "latest": checkpoint(outcome.latest_checkpoint()?)?,
        "best": checkpoint(outcome.best_checkpoint()?)?,
    }))
}

fn fit(plan: &str) -> Result<Outcome<play>> {
    let Plan { storage, workers, keep, score, max_failures, max_start_failures, start_timeout_ms } =
        serde_json::from_str(plan).map_err(Error::other)?;
    let mut failure = max_failures.map_or_else(FailureConfig::unlimited, FailureConfig::max_failures);
    if let Some(limit) = max_start_failures {
        failure = failure.max_start_failures(limit);
    }
    let mut scaling = ScalingConfig::workers(workers);
    if let Some(timeout) = start_timeout_ms {
        scaling = scaling.start_timeout(Duration::from_millis(timeout));
    }
    let mut checkpoint = CheckpointConfig::new();
    checkpoint = match score.as_deref() {
        Some("max") => checkpoint.score_max(|metrics: &Value1| metrics.value),
        Some(_) => checkpoint.score_min(|metrics: &Value1| metrics.value),
        None => checkpoint,
    };
    if let Some(keep) = keep {
        checkpoint = checkpoint.keep(keep);
    }
    let run = RunConfig::named("run").storage(storage).progress(false);
    TorchTrainer::<play>::new(Config { label: "run".to_owned() })
        .scaling(scaling)
        .run(run.failure(failure))
        .checkpoint(checkpoint)
        .fit()
        .inspect_err(show_what_there_is)
}

/// Of a run that failed, in JSON.
fn show_what_there_is(error: &Error) {
    let Some(so_far) = error.outcome() else { return };
    let texts = |history: Vec<Value1>| history.iter().map(|metrics| metrics.value.to_string()).collect::<Vec<_>>();
    let index = |checkpoint: Result<Option<Checkpoint>>| checkpoint.map(|found| found.map(|found| found.index())).ok();
    let line = json!({
        "reports": so_far.reports,
        "restarts": so_far.restarts,
        "history": so_far.history().map(texts).ok(),
        "last": so_far.metrics::<Value1>().ok().flatten().map(|metrics| metrics.value.to_string()),
        "latest": index(so_far.latest_checkpoint()),
        "best": index(so_far.best_checkpoint()),
    });
    println!("{line}");
}

#[trainloop::main]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["fit", plan] => println!("{}", shown(&fit(plan)?)?),
        ["open", run] => println!("{}", shown(&Outcome::<play>::open(run)?)?),
        ["copy", checkpoint, target] => {
            let checkpoint = Checkpoint::from_directory(checkpoint)?;
            checkpoint.to_directory(target)?;
            let copy = Checkpoint::from_directory(target)?;
            let list = |folder: &Path| fs::read_dir(folder).map(Iterator::count);
            println!("{} {}", checkpoint.as_directory(list)?, copy.as_directory(list)?);
        }
        _ => return Err(Error::other("usage: checkpoints fit PLAN | open RUN | copy CHECKPOINT TARGET")),
    }
    Ok(())
}
