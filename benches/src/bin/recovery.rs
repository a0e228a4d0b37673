//! From the SIGKILL of one rank to the first finished all-reduce of the next generation, with the state restored.
//!
//! One run: rank 1 notes the time and kills itself, again and again, each time some seconds after the group has come back from
//! the last checkpoint and made one all-reduce. Everything between death and all-reduce counts: the driver sees the death, ends
//! the other rank, verifies the checkpoint, takes its spare processes or starts others that load libtorch, forms the group; the
//! loop builds its model and restores it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::nn;
use trainloop::prelude::*;
use trainloop_benches::{median, unix_time};

/// Death of a rank to the next group's first all-reduce.
#[derive(Parser)]
struct Options {
    /// How many deaths
    #[arg(long, default_value_t = 15)]
    samples: usize,
    /// Workers of the group
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(2..))]
    workers: u64,
    /// Seconds from one recovery to the next death, in which the driver makes spare processes ready
    #[arg(long, default_value_t = 2.0)]
    between: f64,
    /// Keep no spare processes
    #[arg(long)]
    no_spares: bool,
    /// Folder for the run, on the disk that is to be measured
    #[arg(long, default_value = "runs/bench-recovery")]
    storage: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize, Deserialize)]
struct Config {
    samples: usize,
    between: f64,
    /// Where each death leaves its time, and each recovery what it took.
    notes: PathBuf,
}

#[derive(TrainState)]
struct State {
    model: Model<nn::Linear>,
    optimizer: AdamW,
}

/// Gives the seconds of each recovery.
#[train_loop]
#[allow(clippy::needless_pass_by_value)] // a train loop is given its config
fn die_again(ctx: &mut Context, config: Config) -> Result<Vec<f64>> {
    let model = ctx.prepare_model(|path| nn::linear(path, 784, 1024, nn::LinearConfig::default()))?;
    let optimizer = AdamW::builder(1e-3).build(&model)?;
    let mut state = State { model, optimizer };
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.restore(&mut state)?;
    }
    ctx.all_reduce(1_i64, ReduceOp::Sum)?;
    let now = unix_time();
    let (died, took) = (config.notes.join("died"), config.notes.join("took"));
    let mut seconds = read_lines(&took)?;
    if let Some(died) = read_lines(&died)?.pop() {
        seconds.push(now.saturating_sub(Duration::from_secs_f64(died)).as_secs_f64());
    } else {
        ctx.report_with((), &state)?;
    }
    // All have read what was noted before one writes.
    ctx.barrier()?;
    if ctx.rank() == 0 {
        let lines: Vec<String> = seconds.iter().map(f64::to_string).collect();
        fs::write(&took, lines.join("\n"))?;
    }
    ctx.barrier()?;
    if seconds.len() == config.samples {
        return Ok(seconds);
    }
    if ctx.rank() == 1 {
        std::thread::sleep(Duration::try_from_secs_f64(config.between).map_err(Error::other)?);
        fs::write(&died, unix_time().as_secs_f64().to_string())?;
        kill_process(getpid(), Signal::KILL).map_err(Error::other)?;
    }
    ctx.barrier()?;
    Ok(seconds)
}

fn read_lines(path: &Path) -> Result<Vec<f64>> {
    match fs::read_to_string(path) {
        Ok(text) => text.lines().map(|line| line.parse().map_err(Error::other)).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

#[trainloop::main]
fn main() -> Result<()> {
    let options = Options::parse();
    let notes = tempfile::tempdir()?;
    let run = RunConfig::default()
        .storage(&options.storage)
        .progress(false)
        .failure(FailureConfig::max_failures(options.samples as u64));
    let config = Config { samples: options.samples, between: options.between, notes: notes.path().to_owned() };
    let outcome = TorchTrainer::<die_again>::new(config)
        .scaling(ScalingConfig::workers(options.workers as usize).warm_spares(!options.no_spares))
        .run(run)
        .fit()?;
    let seconds = outcome.output;
    let recovery = median(&seconds).unwrap_or(f64::NAN);
    if options.json {
        let workers = options.workers;
        println!("{}", json!({ "workers": workers, "samples": seconds, "recovery_median_s": recovery }));
    } else {
        println!(
            "death to next all-reduce, {} workers: {recovery:.3} s (median of {})",
            options.workers,
            seconds.len()
        );
    }
    Ok(())
}
