//! A library of train loops and callbacks, for which `trainloop` is `tl`: every attribute and derive says so.

use serde::{Deserialize, Serialize};
use tch::nn::Linear;
use tl::prelude::{Context, InitState, Model, Report, Sgd};

/// What [`count`](fn@count) is told; `main`'s crate reads it from its command line.
#[derive(tl::Config, Serialize, Deserialize, Debug, Clone)]
#[config(crate = tl)]
pub struct Config {
    /// How far to count
    #[config(default = 2)]
    pub rounds: u64,
}

/// What [`count`](fn@count) reports.
#[derive(tl::Metrics, Serialize, Deserialize, Debug, Clone)]
#[metric(crate = tl)]
pub struct Counted {
    /// The round.
    #[metric(reduce = max)]
    pub round: u64,
    /// How many callbacks have seen it.
    #[metric(reduce = sum)]
    pub seen: u64,
}

/// What [`count`](fn@count) keeps.
#[derive(tl::TrainState, Debug)]
#[state(crate = tl)]
pub struct State {
    model: Model<Linear>,
    optimizer: Sgd,
    #[state(serde)]
    round: u64,
}

impl InitState<Counted, Config> for State {
    fn init(ctx: &mut Context<Counted>, _config: &Config) -> tl::Result<Self> {
        let model = ctx.prepare_model(|path| tch::nn::linear(path, 1, 1, tch::nn::LinearConfig::default()))?;
        let optimizer = Sgd::builder(0.1).build(&model)?;
        Ok(Self { model, optimizer, round: 0 })
    }
}

/// Counts, with a checkpoint for each round; gives the round with which it ended.
///
/// # Errors
/// Those of a report.
#[tl::train_loop(crate = tl, workers = 2, name = "counted", checkpoint(keep = 1, score = max(round)))]
pub fn count(state: &mut State, config: Config, ctx: &mut Context<Counted>) -> tl::Result<u64> {
    while state.round < config.rounds {
        state.round += 1;
        ctx.step(state)?;
        ctx.report_with(Counted { round: state.round, seen: 0 }, state)?;
    }
    Ok(state.round)
}

#[tl::callback(report, crate = tl, only = count)]
fn see(report: &mut Report<Counted>) {
    report.metrics_mut().seen += 1;
}

#[tl::callback(report, crate = tl, on = rank_zero, order = 1)]
fn see_on_rank_zero(report: &mut Report<Counted>) {
    report.metrics_mut().seen += 10;
}

#[cfg(test)]
mod tests {
    use tl::prelude::*;

    #[tl::train_loop(crate = tl)]
    fn inside(ctx: &mut Context, limit: u64) -> Result<u64> {
        ctx.report(())?;
        Ok(limit + 1)
    }

    #[test]
    fn a_loop_of_a_test_runs_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunConfig::named("inside").storage(folder.path()).progress(false);
        let outcome = TorchTrainer::<inside>::new(2).run(run).fit().unwrap();
        assert_eq!((outcome.output, outcome.reports), (3, 1));
    }
}
