//! A train loop's parameters: by type, in any order, any of them; each loop runs.
#![allow(clippy::all, clippy::pedantic, unreachable_pub)] // as users write, not as this project does

use serde::{Deserialize, Serialize};
use tch::Device;
use trainloop::prelude::*;

#[derive(Serialize, Deserialize, Clone)]
struct Config {
    rounds: u64,
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone, PartialEq)]
struct M {
    round: u64,
}

/// Parts without tensors, so that a loop takes no time.
#[derive(TrainState)]
struct State {
    #[state(serde)]
    round: u64,
    #[state(skip)]
    began_at: Option<u64>,
}

impl InitState<M, Config> for State {
    fn init(ctx: &mut Context<M>, config: &Config) -> Result<Self> {
        assert_eq!((ctx.world_size(), config.rounds > 0), (1, true));
        Ok(Self { round: 0, began_at: None })
    }
}

/// Of loops without a config.
impl InitState<M, ()> for State {
    fn init(_: &mut Context<M>, (): &()) -> Result<Self> {
        Ok(Self { round: 7, began_at: None })
    }
}

/// Of loops without a context.
impl InitState<(), ()> for State {
    fn init(_: &mut Context, (): &()) -> Result<Self> {
        Ok(Self { round: 9, began_at: None })
    }
}

impl InitState<(), Config> for State {
    fn init(_: &mut Context, config: &Config) -> Result<Self> {
        Ok(Self { round: config.rounds, began_at: None })
    }
}

#[train_loop(name = "all")]
fn all(
    config: Config,
    device: Device,
    state: &mut State,
    checkpoint: Option<Checkpoint>,
    ctx: &mut Context<M>,
) -> Result<(u64, bool)> {
    assert_eq!((device, device), (Device::Cpu, ctx.device()));
    let began = state.round;
    state.began_at = Some(began);
    while state.round < config.rounds {
        state.round += 1;
        ctx.step(state)?;
        ctx.report_with(M { round: state.round }, state)?;
    }
    Ok((began, checkpoint.is_some()))
}

#[train_loop]
fn nothing() -> Result<u8> {
    Ok(1)
}

#[train_loop]
fn config_alone(config: Config) -> Result<u64> {
    Ok(config.rounds)
}

#[train_loop]
fn context_alone(ctx: &mut Context<M>) -> Result<()> {
    ctx.report(M { round: 3 })
}

type Aliased = Context<M>;

/// Without a type of that name, what is lent is found by its traits: here a context.
#[train_loop]
fn aliased(config: Config, ctx: &mut Aliased) -> Result<()> {
    ctx.report(M { round: config.rounds })
}

/// And here a state.
#[train_loop]
fn state_alone(state: &mut State) -> Result<u64> {
    Ok(state.round)
}

#[train_loop]
fn state_and_config(state: &mut State, config: Config) -> Result<bool> {
    Ok(state.round == config.rounds)
}

#[train_loop]
fn context_and_state(ctx: &mut Context<M>, state: &mut State) -> Result<u64> {
    ctx.report(M { round: state.round })?;
    Ok(state.round)
}

#[train_loop(metrics = M)]
fn named_metrics(state: &mut State, device: tch::Device) -> Result<u64> {
    assert_eq!(device, Device::Cpu);
    Ok(state.round)
}

#[train_loop(metrics = ())]
fn no_metrics(checkpoint: Option<trainloop::checkpoint::Checkpoint>) -> Result<bool> {
    Ok(checkpoint.is_none())
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = || RunConfig::default().storage(folder.path()).progress(false);
    let config = || Config { rounds: 3 };

    let outcome = TorchTrainer::<all>::new(config()).run(run()).fit()?;
    assert_eq!((outcome.output, outcome.metrics), ((0, false), Some(M { round: 3 })));
    // The state is restored, and there is a checkpoint to be seen.
    let again = TorchTrainer::<all>::new(config()).run(run()).fit()?;
    assert_eq!((again.output, again.path), ((3, true), folder.path().join("all")));

    assert_eq!(TorchTrainer::<nothing>::new(()).run(run()).fit()?.output, 1);
    assert_eq!(TorchTrainer::<config_alone>::new(config()).run(run()).fit()?.output, 3);
    assert_eq!(TorchTrainer::<context_alone>::new(()).run(run()).fit()?.metrics, Some(M { round: 3 }));
    assert_eq!(TorchTrainer::<aliased>::new(config()).run(run()).fit()?.metrics, Some(M { round: 3 }));
    assert_eq!(TorchTrainer::<state_alone>::new(()).run(run()).fit()?.output, 9);
    assert!(TorchTrainer::<state_and_config>::new(config()).run(run()).fit()?.output);
    assert_eq!(TorchTrainer::<context_and_state>::new(()).run(run()).fit()?.output, 7);
    assert_eq!(TorchTrainer::<named_metrics>::new(()).run(run()).fit()?.output, 7);
    assert!(TorchTrainer::<no_metrics>::new(()).run(run()).fit()?.output);
    Ok(())
}
