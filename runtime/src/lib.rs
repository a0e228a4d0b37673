//! Distributed training on libtorch, in your own loop.
//!
//! Write an ordinary training function over [`tch`], annotate it with [`train_loop`], and run the same binary on one
//! CPU or on several workers:
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use trainloop::prelude::*;
//!
//! #[derive(Serialize, Deserialize, Debug, Clone)]
//! struct Config { epochs: u64 }
//!
//! #[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
//! struct EpochMetrics {
//!     epoch: u64,
//!     #[metric(reduce = mean)]
//!     train_loss: f64,
//! }
//!
//! #[train_loop(strategy = ddp)]
//! fn train(ctx: &mut Context<EpochMetrics>, config: Config) -> Result<()> {
//!     for epoch in 0..config.epochs {
//!         // … train …
//!         ctx.report(EpochMetrics { epoch, train_loss: 0.5 })?;
//!     }
//!     Ok(())
//! }
//!
//! #[trainloop::main] // a worker process never runs the body below
//! fn main() -> Result<()> {
//!     let outcome = TorchTrainer::<train>::new(Config { epochs: 10 })
//!         .scaling(ScalingConfig::workers(2))
//!         .run(RunConfig::named("first").storage("runs"))
//!         .fit()?;
//!     println!("{:?}", outcome.metrics);
//!     Ok(())
//! }
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | [`trainer`] | [`TorchTrainer`](trainer::TorchTrainer), its configuration, and the [`Outcome`](trainer::Outcome) |
//! | [`worker`] | the [`Context`](worker::Context) that a train loop gets |
//! | [`strategy`] | [`Model`](strategy::Model): how parameters and gradients are spread over ranks |
//! | [`nn`] | layers that look at all ranks: `SyncBatchNorm` |
//! | [`optim`] | SGD, Adam, `AdamW`, `RMSprop`, Adagrad and Lion on libtorch's kernels, with state; clipping; `GradScaler` |
//! | [`schedule`] | learning-rate schedules |
//! | [`random`] | seeds, the generators' states, algorithms without chance |
//! | [`data`] | datasets, the distributed sampler, the loader with its threads |
//! | [`mod@callback`] | functions that run at events of a run: reports, checkpoints, failures, its start and end |
//! | [`metric`] | what a report holds and how ranks' values become one |
//! | [`checkpoint`] | committed checkpoints |
//! | [`weights`] | weights of `.safetensors` and PyTorch's `.pt` files into a model, all or a part |
//! | [`state`] | what a checkpoint holds, and how it is saved and restored |
//! | [`tracker`] | CSV, JSON lines, `TensorBoard`: where metrics go besides the run's records |
//! | [`cli`] | a config's fields as options of the command line |
//! | [`accelerate`] | the names and habits of Hugging Face's Accelerate |
//! | [`c10d`] | libtorch's process groups and stores |

#[doc(hidden)]
pub mod __private;
pub mod accelerate;
pub mod callback;
mod channel;
pub mod checkpoint;
pub mod cli;
mod controller;
pub mod data;
mod error;
mod launch;
mod log;
pub mod metric;
pub mod nn;
pub mod optim;
mod pattern;
pub mod prelude;
pub mod random;
pub mod schedule;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
pub mod state;
pub mod strategy;
pub mod tracker;
pub mod trainer;
mod tuples;
pub mod weights;
pub mod worker;

pub use cli::Config;
pub use error::{Error, LoopError, Result};
pub use metric::Metrics;
pub use state::TrainState;
pub use trainloop_c10d as c10d;
pub use trainloop_macros::{callback, main, train_loop};

/// The README's loop compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The guide's blocks compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide.md")]
struct Guide;

/// The blocks for those who come from Python compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/migration.md")]
struct Migration;
