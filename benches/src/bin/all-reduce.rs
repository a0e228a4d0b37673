//! An all-reduce of float32 over Gloo on loopback, against `torch.distributed.all_reduce` (`peers/all_reduce.py`).
//!
//! Both sides: two processes of one thread, a `FileStore`, a sum in place of a tensor made once, blocking; per size a
//! warm-up, a barrier, then so many calls in a row, whose median time on rank 0 counts: one call that the machine holds up
//! says nothing of either side.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use tch::{Kind, Tensor};
use trainloop::c10d::{FileStore, Interface, ProcessGroup, ReduceOp};
use trainloop::{Error, Result};
use trainloop_benches::{Comparison, OURS, PEER, Peer, Times, median, ranks};

/// Name, float32 elements, calls of a round. As in `peers/all_reduce.py`.
const CASES: [(&str, i64, usize); 3] =
    [("bytes_4", 1, 1000), ("bytes_64ki", 16 * 1024, 1000), ("bytes_25mi", 25 * 256 * 1024, 24)];

/// The part of a round's calls that is done before the clock runs.
const WARM_UP: usize = 4;

/// An all-reduce of 4 B, 64 KiB and 25 MiB.
#[derive(Parser)]
struct Options {
    /// How often each side is measured
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Ranks
    #[arg(long, default_value_t = 2)]
    ranks: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Be this rank of one round
    #[arg(long, hide = true, requires = "store")]
    rank: Option<usize>,
    /// The file in which the ranks meet
    #[arg(long, hide = true)]
    store: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let (Some(rank), Some(store)) = (options.rank, &options.store) {
        let group = ProcessGroup::gloo(
            &FileStore::open(store, options.ranks)?,
            rank,
            options.ranks,
            Duration::from_secs(60),
            Interface::Loopback,
        )?;
        let times = measure(&group)?;
        if rank == 0 {
            println!("{}", serde_json::to_string(&times).map_err(Error::other)?);
        }
        return Ok(());
    }

    let binary = std::env::current_exe()?;
    let peer = Peer::new("all_reduce.py");
    let sides = if peer.is_some() { &[OURS, PEER][..] } else { &[OURS] };
    let comparison = Comparison::run(&CASES.map(|(name, ..)| name), sides, options.rounds, |side| {
        ranks(options.ranks, |rank, store| {
            let theirs = peer.as_ref().filter(|_| side == PEER);
            let mut command = theirs.map_or_else(|| Command::new(&binary), Peer::command);
            command.args(["--rank", &rank.to_string(), "--ranks", &options.ranks.to_string(), "--store"]).arg(store);
            command
        })
    })?;
    comparison.print(options.json);
    Ok(())
}

fn measure(group: &ProcessGroup) -> Result<Times> {
    tch::set_num_threads(1);
    let mut times = Times::new();
    for (name, elements, calls) in CASES {
        let mut tensor = Tensor::zeros([elements], (Kind::Float, tch::Device::Cpu));
        for _ in 0..calls / WARM_UP {
            group.all_reduce(&mut tensor, ReduceOp::Sum)?;
        }
        group.barrier()?;
        let mut micros = Vec::with_capacity(calls);
        for _ in 0..calls {
            let began = Instant::now();
            group.all_reduce(&mut tensor, ReduceOp::Sum)?;
            micros.push(began.elapsed().as_secs_f64() * 1e6);
        }
        times.insert(name.to_owned(), median(&micros).unwrap_or(f64::NAN));
    }
    Ok(times)
}
