//! What one `ctx.report` costs the loop, while the driver takes, keeps and reduces the reports of all ranks.

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use serde::{Deserialize, Serialize};
use serde_json::json;
use trainloop::prelude::*;
use trainloop_benches::median;

/// The time of one report.
#[derive(Parser)]
struct Options {
    /// Reports of each rank
    #[arg(long, default_value_t = 2000)]
    reports: usize,
    /// Workers
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Folder for the run, on the disk that is to be measured
    #[arg(long, default_value = "runs/bench-report")]
    storage: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize, Deserialize)]
struct Config {
    reports: usize,
}

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct EpochMetrics {
    epoch: u64,
    #[metric(reduce = mean)]
    train_loss: f64,
    #[metric(reduce = mean)]
    val_accuracy: f64,
}

/// Gives the median on rank 0, in microseconds.
#[train_loop]
fn reports(ctx: &mut Context<EpochMetrics>, config: Config) -> Result<f64> {
    ctx.barrier()?;
    let mut micros = Vec::with_capacity(config.reports);
    for epoch in 0..config.reports as u64 {
        let metrics = EpochMetrics { epoch, train_loss: 1.0 / (epoch + 1) as f64, val_accuracy: 0.5 };
        let began = Instant::now();
        ctx.report(metrics)?;
        micros.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(&micros).unwrap_or(f64::NAN))
}

#[trainloop::main]
fn main() -> Result<()> {
    let options = Options::parse();
    let outcome = TorchTrainer::<reports>::new(Config { reports: options.reports })
        .scaling(ScalingConfig::workers(options.workers))
        .run(RunConfig::default().storage(&options.storage).progress(false))
        .fit()?;
    if options.json {
        let line =
            json!({ "report_median_us": outcome.output, "workers": options.workers, "reports": outcome.reports });
        println!("{line}");
    } else {
        println!("one report, {} workers: {:.1} µs (median of {})", options.workers, outcome.output, options.reports);
    }
    Ok(())
}
