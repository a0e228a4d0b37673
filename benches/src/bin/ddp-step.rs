//! A training step of two perceptrons over two Gloo ranks, against PyTorch's `DistributedDataParallel` (`peers/ddp_step.py`).
//!
//! Ours is what users run: a train loop under `TorchTrainer`, with `ctx.step` and so the question whether to stop. Both
//! sides: two processes of one thread, loopback, float32, one batch made before, `Adam`; forward, cross entropy, backward,
//! step; a warm-up, then so many steps in a row, whose median time on rank 0 counts. `torch` is PyTorch's default
//! on the CPU, one parameter after the other.

use std::time::Instant;

use clap::Parser;
use serde::{Deserialize, Serialize};
use tch::nn::{self, LinearConfig, Module, Path, Sequential};
use tch::{Kind, Tensor};
use trainloop::prelude::*;
use trainloop_benches::{Comparison, OURS, PEER, PEER_FUSED, Peer, Times, median, ranks};

/// A perceptron with `ReLU`, and how it is measured. As in `peers/ddp_step.py`.
struct Case {
    name: &'static str,
    widths: &'static [i64],
    batch_size: i64,
    steps: usize,
}

const CASES: [Case; 2] = [
    Case { name: "mlp_64_128_10", widths: &[64, 128, 10], batch_size: 32, steps: 1000 },
    Case { name: "mlp_784_1024_1024_10", widths: &[784, 1024, 1024, 10], batch_size: 64, steps: 40 },
];

/// The part of a round's steps that is done before the clock runs.
const WARM_UP: usize = 4;

/// The DDP step of a small and a larger perceptron.
#[derive(Parser)]
struct Options {
    /// How often each side is measured
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Ranks
    #[arg(long, default_value_t = 2)]
    ranks: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize, Deserialize)]
struct Config {}

#[derive(TrainState)]
struct State {
    model: Model<Sequential>,
    optimizer: Adam,
}

fn perceptron(path: &Path<'_>, widths: &[i64]) -> Sequential {
    let mut net = nn::seq();
    for (layer, pair) in widths.windows(2).enumerate() {
        if layer > 0 {
            net = net.add_fn(Tensor::relu);
        }
        net = net.add(nn::linear(path / layer, pair[0], pair[1], LinearConfig::default()));
    }
    net
}

/// Gives the median times of a step on rank 0.
#[train_loop(strategy = ddp)]
fn steps(ctx: &mut Context, _config: Config) -> Result<Times> {
    tch::set_num_threads(1);
    let mut times = Times::new();
    for case in CASES {
        let model = ctx.prepare_model(|path| perceptron(path, case.widths))?;
        let optimizer = Adam::builder(1e-3).build(&model)?;
        let mut state = State { model, optimizer };
        let inputs = Tensor::rand([case.batch_size, case.widths[0]], (Kind::Float, ctx.device()));
        let labels = Tensor::randint(10, [case.batch_size], (Kind::Int64, ctx.device()));
        let mut micros = Vec::with_capacity(case.steps);
        for step in 0..case.steps + case.steps / WARM_UP {
            let began = Instant::now();
            let logits = state.model.call(|net| net.forward(&inputs))?;
            let loss = logits.cross_entropy_for_logits(&labels);
            state.optimizer.backward_step(&loss)?;
            ctx.step(&state)?;
            if step >= case.steps / WARM_UP {
                micros.push(began.elapsed().as_secs_f64() * 1e6);
            }
        }
        times.insert(case.name.to_owned(), median(&micros).unwrap_or(f64::NAN));
    }
    Ok(times)
}

#[trainloop::main]
fn main() -> Result<()> {
    let options = Options::parse();
    let storage = tempfile::tempdir()?;
    let peer = Peer::new("ddp_step.py");
    let sides = if peer.is_some() { &[OURS, PEER, PEER_FUSED][..] } else { &[OURS] };
    let comparison = Comparison::run(&CASES.map(|case| case.name), sides, options.rounds, |side| {
        let Some(peer) = peer.as_ref().filter(|_| side != OURS) else {
            let outcome = TorchTrainer::<steps>::new(Config {})
                .scaling(ScalingConfig::workers(options.ranks))
                .run(RunConfig::default().storage(storage.path()).progress(false))
                .fit()?;
            return Ok(outcome.output);
        };
        ranks(options.ranks, |rank, store| {
            let mut command = peer.command();
            command.args(["--rank", &rank.to_string(), "--ranks", &options.ranks.to_string(), "--store"]).arg(store);
            command.args((side == PEER_FUSED).then_some("--fused"));
            command
        })
    })?;
    comparison.print(options.json);
    Ok(())
}
