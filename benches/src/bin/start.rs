//! From the launch of a program to the end of its first training step on two workers.
//!
//! Each sample is a fresh driver process. It counts everything: loading libtorch in the driver and, at the same time on
//! all cores, in the workers; the handshake; the group; the first forward, backward and optimizer step.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Kind, Tensor, nn};
use trainloop::prelude::*;
use trainloop_benches::{median, unix_time};

/// Launch to first training step.
#[derive(Parser)]
struct Options {
    /// How many launches
    #[arg(long, default_value_t = 15)]
    samples: usize,
    /// Workers of each
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Folder for the runs, on the disk that is to be measured
    #[arg(long, default_value = "runs/bench-start")]
    storage: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Be one sample, launched at this time
    #[arg(long, hide = true)]
    launched_ns: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Config {
    launched_ns: u64,
}

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct FirstStep {
    #[metric(reduce = max)]
    seconds: f64,
}

#[train_loop]
fn first_step(ctx: &mut Context<FirstStep>, config: Config) -> Result<()> {
    let model = ctx.prepare_model(|path| nn::linear(path, 64, 10, nn::LinearConfig::default()))?;
    let mut optimizer = AdamW::builder(1e-3).build(&model)?;
    let (images, labels) =
        (Tensor::rand([32, 64], (Kind::Float, ctx.device())), Tensor::zeros([32], (Kind::Int64, ctx.device())));
    let loss = model.call(|net| images.apply(net))?.cross_entropy_for_logits(&labels);
    optimizer.backward_step(&loss)?;
    let seconds = unix_time().saturating_sub(Duration::from_nanos(config.launched_ns)).as_secs_f64();
    ctx.report(FirstStep { seconds })
}

#[trainloop::main]
fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(launched_ns) = options.launched_ns {
        let outcome = TorchTrainer::<first_step>::new(Config { launched_ns })
            .scaling(ScalingConfig::workers(options.workers))
            .run(RunConfig::default().storage(&options.storage).progress(false))
            .fit()?;
        let seconds = outcome.metrics.map_or(f64::NAN, |metrics| metrics.seconds);
        println!("{seconds}");
        return Ok(());
    }

    let mut seconds = Vec::new();
    for _ in 0..options.samples {
        let output = Command::new(std::env::current_exe()?)
            .args(["--workers", &options.workers.to_string()])
            .arg("--storage")
            .arg(&options.storage)
            .args(["--launched-ns", &unix_time().as_nanos().to_string()])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        seconds.push(text.trim().parse::<f64>().map_err(|_| {
            Error::other(format!("a sample failed: {}{}", text, String::from_utf8_lossy(&output.stderr)))
        })?);
    }
    let start = median(&seconds).unwrap_or(f64::NAN);
    if options.json {
        println!("{}", json!({ "start_median_s": start, "workers": options.workers, "samples": seconds }));
    } else {
        println!(
            "launch to first training step, {} workers: {start:.3} s (median of {})",
            options.workers,
            seconds.len()
        );
    }
    Ok(())
}
