//! Saving and restoring a state of 1 GiB on the disk, against plain writes, copies and reads of as many bytes, and against
//! `torch.save` and `torch.load` (`peers/checkpoint.py`).
//!
//! The state is a model of 64 parameters of 16 MiB, in a train loop of `workers(0)`. `save` is `ctx.report_with`: written,
//! hashed, flushed and committed; the plain side writes one file and flushes it. `stall` is `ctx.report_with` of an asynchronous
//! checkpoint once the first has been made: what training stands still; the plain side copies memory that both have touched.
//! `restore` is `checkpoint.restore`, the plain side reads one file into touched memory; the system forgets the files first.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::fs::{Advice, fadvise};
use serde::{Deserialize, Serialize};
use trainloop::prelude::*;
use trainloop::trainer::WhenBusy;
use trainloop_benches::{Comparison, OURS, PEER, Peer, Times, ranks};

const CASES: [&str; 3] = ["save", "stall", "restore"];
const PLAIN: &str = "plain";
/// As in `peers/checkpoint.py`.
const PARAMETERS: usize = 64;
const ELEMENTS: i64 = 4 * 1024 * 1024;
const BYTES: usize = PARAMETERS * ELEMENTS as usize * 4;
const CHUNK: usize = 1024 * 1024;

/// Saving and restoring a state of 1 GiB.
#[derive(Parser)]
struct Options {
    /// How often each side is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A folder on the disk to measure
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Be one round of this side
    #[arg(long, hide = true)]
    once: Option<String>,
}

#[derive(Serialize, Deserialize, Debug, Clone)]
struct Config {
    asynchronous: bool,
}

#[derive(TrainState)]
struct State {
    model: Model<()>,
}

/// The microseconds of what is measured: a save, or the second of two asynchronous ones; and of a restore.
#[train_loop]
#[allow(clippy::needless_pass_by_value)] // a train loop is given its config
fn measure(ctx: &mut Context, config: Config) -> Result<Times> {
    let mut state = State {
        model: ctx.prepare_model(|path| {
            for index in 0..PARAMETERS {
                let _ = path.ones(&format!("p{index}"), &[ELEMENTS]);
            }
        })?,
    };
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.as_directory(forget)?;
        let began = Instant::now();
        checkpoint.restore(&mut state)?;
        return Ok(Times::from([("restore".to_owned(), micros(began))]));
    }
    let began = Instant::now();
    ctx.report_with((), &state)?;
    if !config.asynchronous {
        return Ok(Times::from([("save".to_owned(), micros(began))]));
    }
    // The first is made, and its memory can be used again.
    let first = Path::new("checkpoint-bench/checkpoints/checkpoint_000000/manifest.json");
    while !first.exists() {
        std::thread::sleep(Duration::from_millis(10));
        ctx.report(())?;
    }
    ctx.report(())?;
    let began = Instant::now();
    ctx.report_with((), &state)?;
    Ok(Times::from([("stall".to_owned(), micros(began))]))
}

fn micros(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}

/// Has the system read a folder's files from the disk again.
fn forget(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            forget_file(&File::open(path)?)?;
        }
    }
    Ok(())
}

fn forget_file(file: &File) -> Result<()> {
    fadvise(file, 0, None, Advice::DontNeed).map_err(Error::other)
}

fn ours() -> Result<Times> {
    let storage = std::env::current_dir()?;
    let run = || RunConfig::named("checkpoint-bench").storage(&storage).progress(false);
    let fit = |asynchronous: bool, resume: Resume| -> Result<Times> {
        let mut checkpoint = CheckpointConfig::new();
        if asynchronous {
            checkpoint = checkpoint.asynchronous(WhenBusy::Wait);
        }
        let trainer = TorchTrainer::<measure>::new(Config { asynchronous });
        let trainer = trainer.scaling(ScalingConfig::workers(0)).checkpoint(checkpoint);
        Ok(trainer.run(run().resume(resume)).fit()?.output)
    };
    let mut times = fit(true, Resume::Never)?;
    std::fs::remove_dir_all(storage.join("checkpoint-bench"))?;
    times.extend(fit(false, Resume::Never)?);
    times.extend(fit(false, Resume::Require)?);
    Ok(times)
}

fn plain() -> Result<Times> {
    let bytes = vec![1_u8; BYTES];
    // Not of zeros, which the system would give without memory behind them.
    let mut memory = vec![2_u8; BYTES];
    let mut times = Times::new();

    let write = |name: &str| -> Result<f64> {
        let began = Instant::now();
        let mut file = File::create(name)?;
        bytes.chunks(CHUNK).try_for_each(|chunk| file.write_all(chunk))?;
        file.sync_all()?;
        Ok(micros(began))
    };
    // As our side does before what is measured, so that both find the disk with as much behind it.
    for name in ["first", "second"] {
        write(name)?;
    }
    std::fs::remove_file("first")?;
    std::fs::remove_file("second")?;
    times.insert("save".to_owned(), write("plain")?);

    let began = Instant::now();
    std::hint::black_box(&mut memory).copy_from_slice(std::hint::black_box(&bytes));
    times.insert("stall".to_owned(), micros(began));

    let mut file = File::open("plain")?;
    forget_file(&file)?;
    let began = Instant::now();
    file.read_exact(&mut memory)?;
    times.insert("restore".to_owned(), micros(began));
    Ok(times)
}

#[trainloop::main]
fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(side) = options.once {
        let times = if side == PLAIN { plain()? } else { ours()? };
        println!("{}", serde_json::to_string(&times).map_err(Error::other)?);
        return Ok(());
    }
    let binary = std::env::current_exe()?;
    let peer = Peer::new("checkpoint.py");
    let sides = if peer.is_some() { &[OURS, PLAIN, PEER][..] } else { &[OURS, PLAIN] };
    let comparison = Comparison::run(&CASES, sides, options.rounds, |side| {
        let folder = tempfile::tempdir_in(&options.folder)?;
        ranks(1, |_, _| {
            let mut command = if let Some(peer) = peer.as_ref().filter(|_| side == PEER) {
                peer.command()
            } else {
                let mut command = Command::new(&binary);
                command.args(["--once", side]);
                command
            };
            command.current_dir(folder.path());
            command
        })
    })?;
    comparison.print(options.json);
    Ok(())
}
