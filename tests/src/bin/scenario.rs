//! Runs a [`Scenario`] given in JSON, and prints what `fit` said of it in JSON.

use std::error::Error as StdError;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fmt, fs, io, thread};

use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Device, Kind, Tensor};
use trainloop::data::idx;
use trainloop::prelude::*;
use trainloop::trainer::FailureKind;
use trainloop_tests::scenario::{Act, Scenario};

#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
struct Count {
    #[metric(reduce = sum)]
    count: u64,
}

/// An error as users write them: words of its own, and a cause.
#[derive(Debug)]
struct TokenizerError(io::Error);

impl fmt::Display for TokenizerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tokenizer is missing")
    }
}

impl StdError for TokenizerError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

#[derive(TrainState)]
struct Nothing;

#[train_loop(strategy = ddp)]
#[allow(clippy::needless_pass_by_value)] // a train loop is given its config
fn act(ctx: &mut Context<Count>, scenario: Scenario) -> Result<(), Box<dyn StdError + Send + Sync>> {
    let run = scenario.storage.join(&scenario.name);
    for act in scenario.ranks.get(ctx.rank()).into_iter().flatten() {
        match act {
            Act::Print(line) => println!("{line}"),
            Act::PrintError(line) => eprintln!("{line}"),
            Act::PrintBytes(count) => println!("{}", "x".repeat(*count)),
            Act::PrintRaw(bytes) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()?;
            }
            Act::FloodOutput => loop {
                println!("and another line");
            },
            Act::FloodReports => loop {
                ctx.report(Count { count: 1 })?;
            },
            Act::Report(times) => {
                for _ in 0..*times {
                    ctx.report(Count { count: 1 })?;
                }
            }
            Act::Ready => fs::write(run.join(format!("ready-{}", ctx.rank())), std::process::id().to_string())?,
            Act::AwaitReady(count) => await_ready(&run, *count)?,
            Act::Barrier => ctx.barrier()?,
            Act::AllReduceForEver => loop {
                let _ = ctx.all_reduce(Tensor::ones([1000], (Kind::Float, Device::Cpu)), ReduceOp::Mean)?;
            },
            Act::GroupAllGather => group_all_gather(ctx)?,
            Act::GroupBegin => group_begin(ctx)?,
            Act::AwaitEnd(rank) => await_end(&run, *rank),
            Act::TorchPrint => torch_print()?,
            Act::Trace(level, words) => trace(level, words),
            Act::Subscribe => subscribe()?,
            Act::AllReduce => drop(ctx.all_reduce(1_i64, ReduceOp::Sum)?),
            Act::Steps(steps) => {
                for _ in 0..*steps {
                    ctx.step(&Nothing)?;
                }
            }
            Act::ComputeFor(milliseconds) => compute_until(Instant::now() + Duration::from_millis(*milliseconds))?,
            Act::AnyhowError(words) => return Err(no_luck(words).into()),
            Act::Sleep => thread::sleep(Duration::from_secs(1000)),
            Act::Compute => compute_until(Instant::now() + Duration::from_secs(1000))?,
            Act::StartGrandchild => start_grandchild()?,
            Act::Panic(words) => panic!("{words}"),
            Act::PanicWithoutWords => std::panic::panic_any(17),
            Act::UserError => return Err(TokenizerError(io::Error::other("vocab.json was not written")).into()),
            Act::LibraryError => drop(idx::read("/nowhere/images")?),
            Act::KillItself => kill_process(getpid(), Signal::KILL)?,
            Act::Exit(code) => std::process::exit(*code),
        }
    }
    Ok(())
}

/// The folder is read again and again: there is no event for a file that another process makes.
fn await_ready(run: &Path, count: usize) -> io::Result<()> {
    let ready = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("ready-"))
    };
    while fs::read_dir(run)?.map(ready).filter(|ready| *ready).count() < count {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// As [`await_ready`].
fn await_end(run: &Path, rank: usize) {
    let ready = run.join(format!("ready-{rank}"));
    let pid = loop {
        match fs::read_to_string(&ready) {
            Ok(pid) if !pid.is_empty() => break pid,
            _ => thread::sleep(Duration::from_millis(1)),
        }
    };
    while Path::new("/proc").join(&pid).exists() {
        thread::sleep(Duration::from_millis(1));
    }
}

fn group_all_gather(ctx: &Context<Count>) -> Result<()> {
    let group = ctx.process_group().ok_or_else(|| Error::other("there is no group"))?;
    group.all_gather(&Tensor::ones([2], (Kind::Float, Device::Cpu)))?;
    Ok(())
}

fn group_begin(ctx: &Context<Count>) -> Result<()> {
    let group = ctx.process_group().ok_or_else(|| Error::other("there is no group"))?;
    let work = group.all_reduce_async(Tensor::ones([2], (Kind::Float, Device::Cpu)), ReduceOp::Sum)?;
    // It goes on behind the loop.
    std::mem::forget(work);
    Ok(())
}

fn torch_print() -> Result<()> {
    // libtorch's own stream, which it does not flush.
    Tensor::from_slice(&[1.5, 2.5]).print();
    // A warning of libtorch's: the result has another shape.
    let ones = |size: i64| Tensor::ones([size], (Kind::Float, Device::Cpu));
    let _ = ones(2).f_add_out(&ones(3), &ones(2))?;
    Ok(())
}

fn trace(level: &str, words: &str) {
    match level {
        "debug" => tracing::debug!("{words}"),
        "warn" => tracing::warn!(answer = 42, "{words}"),
        "thread" => drop(
            thread::spawn({
                let words = words.to_owned();
                move || tracing::info!("{words}")
            })
            .join(),
        ),
        _ => tracing::info!("{words}"),
    }
}

/// As a user does who wants another format.
fn subscribe() -> Result<()> {
    let subscriber = tracing_subscriber::fmt().with_target(false).without_time().with_ansi(false).finish();
    tracing::subscriber::set_global_default(subscriber).map_err(Error::other)
}

/// Named in a backtrace.
#[inline(never)]
fn no_luck(words: &str) -> anyhow::Error {
    anyhow::anyhow!("{words}")
}

fn compute_until(end: Instant) -> Result<()> {
    let matrix = Tensor::ones([200, 200], (Kind::Float, Device::Cpu)) / 200.0;
    let mut product = matrix.shallow_clone();
    while Instant::now() < end {
        product = product.f_matmul(&matrix)?;
    }
    Ok(())
}

fn start_grandchild() -> io::Result<()> {
    // It keeps the worker's output open, as a careless user's helper process does.
    let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn()?;
    println!("grandchild {}", child.id());
    std::mem::forget(child);
    Ok(())
}

fn fit(scenario: &Scenario, name: &str) -> Result<()> {
    let timeout = Duration::from_secs(scenario.collective_timeout_seconds);
    let config = Scenario { name: name.to_owned(), ..scenario.clone() };
    let mut scaling = ScalingConfig::workers(scenario.ranks.len()).collective_timeout(timeout);
    if let Some((every, timeout)) = scenario.heartbeat {
        scaling = scaling.heartbeat(Duration::from_millis(every), Duration::from_millis(timeout));
    }
    if let Some(timeout) = scenario.report_timeout {
        scaling = scaling.report_timeout(Duration::from_millis(timeout));
    }
    let mut run = RunConfig::named(name).storage(&scenario.storage).progress(scenario.progress);
    if let Some(verbosity) = scenario.verbosity {
        run = run.verbosity(verbosity);
    }
    let result = TorchTrainer::<act>::new(config).scaling(scaling).run(run).fit();
    match result {
        Ok(outcome) => {
            println!("{}", json!({ "metrics": outcome.metrics, "reports": outcome.reports }));
            Ok(())
        }
        Err(error) => {
            if let Some(failure) = error.run_failure() {
                let (kind, message, location) = match &failure.kind {
                    FailureKind::Error(message) => ("error", message.clone(), None),
                    FailureKind::Panic { message, location } => ("panic", message.clone(), Some(location)),
                    FailureKind::Signal(signal) => ("signal", signal.to_string(), None),
                    FailureKind::Exit(code) => ("exit", code.to_string(), None),
                    FailureKind::NotStarted => ("not started", String::new(), None),
                    FailureKind::ReturnedEarly => ("returned early", String::new(), None),
                    FailureKind::MissedCollective(waiting) => ("missed collective", waiting.clone(), None),
                    FailureKind::Silent(_) => ("silent", String::new(), None),
                    FailureKind::ChannelClosed => ("channel closed", String::new(), None),
                    FailureKind::Late(_) => ("late", String::new(), None),
                    FailureKind::Desynchronised(waiting) => ("desynchronised", waiting.clone(), None),
                    other => ("new", other.to_string(), None),
                };
                let line = json!({
                    "rank": failure.rank,
                    "kind": kind,
                    "message": message,
                    "location": location,
                    "reports": failure.reports,
                    "generation": failure.generation,
                    "steps": failure.steps,
                    "also": failure.also,
                    "activity": failure.activity.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "backtrace": failure.backtrace,
                    "consequences": failure.consequences,
                    "log_tail": failure.log_tail,
                    "log": failure.log,
                });
                println!("{line}");
            }
            Err(error)
        }
    }
}

#[trainloop::main]
fn main() -> Result<()> {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let scenario: Scenario = serde_json::from_str(&argument).map_err(Error::other)?;
    let first = fit(&scenario, &scenario.name);
    match &scenario.again {
        Some(name) => fit(&scenario, name),
        None => first,
    }
}
