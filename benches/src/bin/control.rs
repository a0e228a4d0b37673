//! The controller alone against thousands of ranks, which a few other processes of this machine simulate.
//!
//! Each number of ranks has a process of its own, whose memory is the controller's, and simulators: this program, executed again.
//! Sockets, frames, decoder, poll, ledger and disk are those of every run; a rank is a connection that says what a worker says.
//! Two runs for each number: in the first all ranks make checkpoints and reports and return, in others a rank ends without a word
//! while the rest beat and report once a second.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use clap::Parser;
use serde::{Deserialize, Serialize};
use serde_json::json;
use trainloop::prelude::*;
use trainloop::simulation::{Plan, Timeline, control, ranks};
use trainloop_benches::median;

/// Reports, memory, checkpoints and deaths by the number of ranks.
#[derive(Parser)]
struct Options {
    /// Numbers of ranks, the smallest first
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000, 10_000])]
    ranks: Vec<usize>,
    /// Reports of all ranks together
    #[arg(long, default_value_t = 500_000)]
    reports: usize,
    /// Checkpoints of which the median is taken
    #[arg(long, default_value_t = NonZeroU64::new(5).expect("5 is not 0"))]
    checkpoints: NonZeroU64,
    /// Deaths of which the median is taken
    #[arg(long, default_value_t = 5)]
    deaths: usize,
    /// Processes that simulate ranks
    #[arg(long, default_value_t = 2)]
    simulators: usize,
    /// Folder for the runs, on the disk that is to be measured
    #[arg(long, default_value = "runs/bench-control")]
    storage: PathBuf,
    /// Print one JSON object for each number of ranks
    #[arg(long)]
    json: bool,
    /// Be the controller of this plan
    #[arg(long, hide = true)]
    control: Option<String>,
    /// Be a simulator of these ranks
    #[arg(long, hide = true)]
    simulate: Option<String>,
}

/// What a simulator is to do.
#[derive(Serialize, Deserialize)]
struct Simulated {
    plan: Plan,
    first: usize,
    end: usize,
    invitation: String,
}

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct EpochMetrics {
    epoch: u64,
    #[metric(reduce = mean)]
    train_loss: f64,
    #[metric(reduce = max)]
    slowest: f64,
}

fn metrics(rank: usize, report: u64) -> EpochMetrics {
    EpochMetrics { epoch: report, train_loss: 1.0 / (report as f64 + 1.5), slowest: rank as f64 / 7.0 }
}

/// What was measured of a plan.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    reports_per_s: f64,
    commits_ms: Vec<f64>,
    memory_mb: f64,
    dead_rank_seen_ms: Option<f64>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(simulated) = &options.simulate {
        let Simulated { plan, first, end, invitation } = from_json(simulated)?;
        let died = ranks(&plan, first..end, &invitation, metrics)?;
        println!("{}", json!(died));
        return Ok(());
    }
    if let Some(plan) = &options.control {
        println!("{}", json!(measure(&from_json(plan)?, options.simulators)?));
        return Ok(());
    }
    for &ranks in &options.ranks {
        let whole = run(&options, ranks, None)?;
        let deaths: Vec<f64> = (0..options.deaths)
            .map(|_| Ok(run(&options, ranks, Some(ranks - 1))?.dead_rank_seen_ms))
            .filter_map(Result::transpose)
            .collect::<Result<_>>()?;
        let (commit, dead) = (median(&whole.commits_ms).unwrap_or(f64::NAN), median(&deaths).unwrap_or(f64::NAN));
        let Measured { reports_per_s, memory_mb, .. } = whole;
        if options.json {
            let line = json!({
                "ranks": ranks,
                "reports_per_s": reports_per_s.round(),
                "memory_mb": memory_mb,
                "dead_rank_seen_ms": dead,
                "commit_ms": commit,
                "commits_ms": whole.commits_ms,
                "deaths_ms": deaths,
            });
            println!("{line}");
        } else {
            println!(
                "{ranks} ranks: {reports_per_s:.0} reports/s, {memory_mb:.1} MB, a checkpoint in {commit:.1} ms (median of {}), \
                 a death seen after {dead:.2} ms (median of {})",
                whole.commits_ms.len(),
                deaths.len()
            );
        }
    }
    Ok(())
}

fn from_json<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::other)
}

/// One run, in a process of its own.
fn run(options: &Options, ranks: usize, dies: Option<usize>) -> Result<Measured> {
    std::fs::create_dir_all(&options.storage)?;
    let folder = tempfile::tempdir_in(&options.storage)?;
    let plan = Plan {
        run: folder.path().canonicalize()?,
        ranks,
        reports: if dies.is_none() { options.reports.div_ceil(ranks) as u64 } else { 0 },
        // One after the reports, and as many as are measured.
        checkpoints: if dies.is_none() { options.checkpoints.saturating_add(1) } else { NonZeroU64::MIN },
        dies,
    };
    let output = Command::new(std::env::current_exe()?)
        .args(["--simulators", &options.simulators.to_string(), "--control", &json!(plan).to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    from_json(&text).map_err(|error| Error::other(format!("the run of {ranks} ranks failed: {text}{error}")))
}

/// Is the controller of a plan.
fn measure(plan: &Plan, simulators: usize) -> Result<Measured> {
    let mut children = Vec::new();
    let timeline = control::<EpochMetrics>(plan, |invitation| {
        children = start(plan, simulators.clamp(1, plan.ranks), &invitation)?;
        Ok(())
    })?;
    let memory_mb = peak_memory_mb()?;
    let mut died: Option<SystemTime> = None;
    for child in children {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(Error::other(format!("a simulator failed: {}", output.status)));
        }
        died = died.or(from_json(&String::from_utf8_lossy(&output.stdout))?);
    }
    let Timeline { rounds, commits, failure } = timeline;
    let since_barrier = |at: &std::time::Instant| at.duration_since(commits[0]).as_secs_f64();
    let reports_per_s = match rounds.last() {
        Some((last, _)) => (rounds.len() * plan.ranks) as f64 / since_barrier(last),
        None => 0.0,
    };
    // The first is the barrier, and the second comes with the last reports.
    let commits_ms = commits.windows(2).skip(1).map(|pair| ms(pair[1].duration_since(pair[0]))).collect();
    let dead_rank_seen_ms =
        died.zip(failure).map(|(died, (_, seen))| ms(seen.duration_since(died).unwrap_or_default()));
    Ok(Measured { reports_per_s, commits_ms, memory_mb, dead_rank_seen_ms })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Simulators with equal shares of the ranks.
fn start(plan: &Plan, simulators: usize, invitation: &str) -> Result<Vec<Child>> {
    let binary = std::env::current_exe()?;
    let share = |simulator: usize| plan.ranks * simulator / simulators;
    (0..simulators)
        .map(|simulator| {
            let simulated = Simulated {
                plan: plan.clone(),
                first: share(simulator),
                end: share(simulator + 1),
                invitation: invitation.to_owned(),
            };
            let arguments = ["--simulate".to_owned(), json!(simulated).to_string()];
            Ok(Command::new(&binary).args(arguments).stdout(Stdio::piped()).spawn()?)
        })
        .collect()
}

/// The most that this process has had in memory.
fn peak_memory_mb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.map(|kilobytes: f64| kilobytes / 1024.0)
        .ok_or_else(|| Error::other("the kernel does not say how much memory was used"))
}
