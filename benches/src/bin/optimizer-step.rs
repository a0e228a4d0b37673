//! One step of `AdamW` over 100 tensors of 64 KiB, against `torch.optim.AdamW` (`peers/optimizer_step.py`).
//!
//! Both sides: one process of one thread, float32, weights and gradients that stay where they are; a warm-up, then so many
//! steps in a row, whose mean time counts. `torch` is PyTorch's default on the CPU, one parameter after the other.

use std::process::Command;
use std::time::Instant;

use clap::Parser;
use tch::{Device, Kind, Tensor};
use trainloop::optim::AdamW;
use trainloop::{Error, Result};
use trainloop_benches::{Comparison, OURS, PEER, PEER_FUSED, Peer, Times, ranks};

const CASE: &str = "adamw_100_of_64ki";
/// As in `peers/optimizer_step.py`.
const TENSORS: usize = 100;
const ELEMENTS: i64 = 16 * 1024;
const STEPS: u32 = 300;
const WARM_UP: u32 = 50;

/// A step of `AdamW` over 100 tensors of 64 KiB.
#[derive(Parser)]
struct Options {
    /// How often each side is measured
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Be one round
    #[arg(long, hide = true)]
    once: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if options.once {
        println!("{}", serde_json::to_string(&measure()?).map_err(Error::other)?);
        return Ok(());
    }
    let binary = std::env::current_exe()?;
    let peer = Peer::new("optimizer_step.py");
    let sides = if peer.is_some() { &[OURS, PEER, PEER_FUSED][..] } else { &[OURS] };
    let comparison = Comparison::run(&[CASE], sides, options.rounds, |side| {
        ranks(1, |_, _| {
            let Some(peer) = peer.as_ref().filter(|_| side != OURS) else {
                let mut command = Command::new(&binary);
                command.arg("--once");
                return command;
            };
            let mut command = peer.command();
            command.args((side == PEER_FUSED).then_some("--fused"));
            command
        })
    })?;
    comparison.print(options.json);
    Ok(())
}

fn measure() -> Result<Times> {
    tch::set_num_threads(1);
    let tensor = |index| {
        let tensor = Tensor::ones([ELEMENTS], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        (format!("p{index}"), tensor)
    };
    let parameters: Vec<(String, Tensor)> = (0..TENSORS).map(tensor).collect();
    let mut optimizer = AdamW::builder(1e-3).build(&parameters)?;
    let sums: Vec<Tensor> = parameters.iter().map(|(_, tensor)| tensor.sum(Kind::Float)).collect();
    // A gradient of ones each.
    optimizer.backward(&Tensor::stack(&sums, 0).sum(Kind::Float))?;
    for (_, tensor) in &parameters {
        // `sum` gives every element the memory of one number.
        tensor.grad().set_data(&tensor.grad().contiguous());
    }
    for _ in 0..WARM_UP {
        optimizer.step()?;
    }
    let began = Instant::now();
    for _ in 0..STEPS {
        optimizer.step()?;
    }
    Ok(Times::from([(CASE.to_owned(), began.elapsed().as_secs_f64() * 1e6 / f64::from(STEPS))]))
}
