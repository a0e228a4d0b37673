//! Train loops that compile.
#![allow(clippy::all, clippy::pedantic, unreachable_pub)] // as users write, not as this project does
#![allow(dead_code)]

use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize, Clone)]
struct Config {
    lr: f64,
}

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct M {
    #[metric(reduce = mean)]
    loss: f64,
}

type Ctx = Context<M>;

/// The plain form.
#[train_loop]
fn plain(ctx: &mut Context<M>, config: Config) -> Result<()> {
    ctx.report(M { loss: config.lr })
}

/// Through an alias, with every option, a pattern as parameter, and a value returned.
#[train_loop(strategy = single, crate = trainloop)]
pub(crate) fn with_alias(ctx: &mut Ctx, Config { lr }: Config) -> trainloop::Result<Vec<f64>> {
    ctx.report(M { loss: lr })?;
    Ok(vec![lr])
}

/// Another error type, no metrics, a tuple as config.
#[train_loop(strategy = ddp)]
fn with_anyhow(_: &mut Context, (a, b): (u8, String)) -> anyhow::Result<String> {
    anyhow::ensure!(a > 0, "a is zero");
    Ok(b)
}

/// A local of the same name shadows nothing, and the function can be called as such.
fn uses(ctx: &mut Context<M>) -> Result<()> {
    let plain = plain(ctx, Config { lr: 0.1 });
    let _ = TorchTrainer::<plain>::new(Config { lr: 0.1 }).scaling(ScalingConfig::workers(2)).fit()?.metrics;
    let _ = TorchTrainer::<with_anyhow>::new((1, String::new())).fit()?.output.len();
    plain
}

mod inner {
    use super::{Config, Context, M, Result};

    /// The attribute by its path, a loop in a module.
    #[trainloop::train_loop]
    pub(super) fn nested(ctx: &mut Context<M>, _config: Config) -> Result<()> {
        ctx.on_rank_zero(|view| assert_eq!(view.world_size(), 1));
        ctx.barrier()
    }
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = || RunConfig::default().storage(folder.path()).progress(false);
    let config = || Config { lr: 0.1 };
    TorchTrainer::<inner::nested>::new(config()).run(run()).fit()?;
    assert_eq!(TorchTrainer::<with_alias>::new(config()).run(run()).fit()?.output, [0.1]);
    assert_eq!(TorchTrainer::<with_anyhow>::new((1, "b".to_owned())).run(run()).fit()?.output, "b");
    let error = TorchTrainer::<with_anyhow>::new((0, String::new())).run(run()).fit().unwrap_err();
    assert!(error.to_string().contains("a is zero"), "{error}");
    let _ = uses;
    Ok(())
}
