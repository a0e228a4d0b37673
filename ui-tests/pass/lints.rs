//! Generated code under rustc's lints, those that are off by default too.
#![deny(warnings, future_incompatible, let_underscore, nonstandard_style, rust_2018_idioms, rust_2021_compatibility)]
#![deny(rust_2024_compatibility, unused, missing_docs, missing_debug_implementations, missing_copy_implementations)]
#![deny(
    absolute_paths_not_starting_with_crate,
    ambiguous_negative_literals,
    elided_lifetimes_in_paths,
    ffi_unwind_calls
)]
#![deny(explicit_outlives_requirements, keyword_idents, macro_use_extern_crate, meta_variable_misuse, missing_abi)]
#![deny(non_ascii_idents, redundant_imports, redundant_lifetimes, single_use_lifetimes, trivial_casts)]
#![deny(trivial_numeric_casts, unit_bindings, unnameable_types, unreachable_pub, unsafe_op_in_unsafe_fn)]
#![deny(unused_import_braces, unused_lifetimes, unused_macro_rules, unused_qualifications, unused_results)]
#![deny(variant_size_differences, clippy::all, clippy::pedantic)]

use serde::{Deserialize, Serialize};
use trainloop::data::Collate;
use trainloop::prelude::*;

/// What the loop is told.
#[derive(Config, Serialize, Deserialize, Debug, Clone)]
pub struct Settings {
    /// How often.
    #[config(default = 2)]
    pub rounds: u64,
    /// How wide.
    pub width: Vec<usize>,
    /// How fast.
    pub fast: bool,
}

/// What it reports.
#[derive(Metrics, Serialize, Deserialize, Debug, Clone, Copy)]
pub struct Numbers {
    /// The round.
    #[metric(reduce = max, unit = "rounds")]
    pub round: u64,
    /// More.
    #[metric(nested)]
    pub inner: Inner,
}

/// Metrics inside metrics.
#[derive(Metrics, Serialize, Deserialize, Debug, Clone, Copy)]
pub struct Inner {
    /// A mean.
    #[metric(reduce = mean)]
    pub loss: f64,
}

/// What it learns from.
#[derive(Collate, Debug)]
pub struct Sample {
    /// Of how many.
    pub label: i64,
    /// Words.
    #[collate(pad = 0)]
    pub tokens: Vec<i64>,
    name: String,
}

impl Sample {
    /// One of that name.
    #[must_use]
    pub const fn named(name: String) -> Self {
        Self { label: 0, tokens: Vec::new(), name }
    }
}

/// What it keeps.
#[derive(TrainState, Debug)]
pub struct Kept<T> {
    #[state(serde)]
    round: T,
}

impl InitState<Numbers, Settings> for Kept<u64> {
    fn init(_: &mut Context<Numbers>, _: &Settings) -> Result<Self> {
        Ok(Self { round: 0 })
    }
}

/// The loop.
///
/// # Errors
/// Those of a report.
#[train_loop(strategy = ddp, workers = 0, failure(max_failures = unlimited), checkpoint(score = min(inner.loss)))]
pub fn train(ctx: &mut Context<Numbers>, config: Settings, state: &mut Kept<u64>) -> Result<u64> {
    while state.round < config.rounds {
        state.round += 1;
        ctx.report_with(Numbers { round: state.round, inner: Inner { loss: 0.5 } }, state)?;
    }
    Ok(state.round)
}

/// A loop that needs nothing.
///
/// # Errors
/// None.
#[train_loop]
pub fn nothing() -> Result<()> {
    Ok(())
}

#[callback(report)]
fn note(report: &mut Report<Numbers>, worker: &WorkerInfo) {
    report.metrics_mut().round += u64::try_from(worker.rank).unwrap_or(0);
}

#[callback(run_end, order = -1, only = train)]
fn end(_: &RunEnd) {}

#[trainloop::main]
fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = || RunConfig::default().storage(folder.path()).progress(false);
    let config = Settings { rounds: 2, width: vec![], fast: true };
    assert_eq!(TorchTrainer::<train>::new(config).run(run()).fit()?.output, 2);
    let outcome = TorchTrainer::<nothing>::new(()).run(run()).fit()?;
    assert_eq!(outcome.reports, 0);
    Ok(())
}
