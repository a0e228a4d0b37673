//! Generated code beside items of the same names as everything that it could mean.
#![allow(clippy::all, clippy::pedantic, unreachable_pub)] // as users write, not as this project does
#![no_implicit_prelude]
#![allow(dead_code, non_camel_case_types, non_upper_case_globals, unused_macros)]

use ::serde::{Deserialize, Serialize};
use ::trainloop::prelude::Context;

mod core {}
mod std {}
mod alloc {}
mod serde {}
mod trainloop {}
struct Result;
struct Option;
struct Vec;
struct Box;
struct String;
trait Clone {}
trait Debug {}
trait Copy {}
trait Default {}
trait TrainLoop {}
trait Metrics {}
trait TrainState {}
trait Config {}
trait Collate {}
struct Padded;
static a: u8 = 0;
static tokens: u8 = 0;
const Ok: u8 = 0;
const Err: u8 = 0;
const Some: u8 = 0;
const None: u8 = 0;
static ctx: u8 = 0;
static config: u8 = 0;
static state: u8 = 0;
static offer: u8 = 0;
static ranks: u8 = 0;
static out: u8 = 0;
static from: u8 = 0;
static given: u8 = 0;
static metrics: u8 = 0;
static seat: u8 = 0;
static call: u8 = 0;
macro_rules! concat {
    () => {};
}
macro_rules! stringify {
    () => {};
}
macro_rules! module_path {
    () => {};
}
macro_rules! file {
    () => {};
}
macro_rules! line {
    () => {};
}
macro_rules! vec {
    () => {};
}

#[derive(::trainloop::Config, Serialize, Deserialize, ::std::clone::Clone)]
struct Settings {
    #[config(default = 3)]
    rounds: u64,
    width: ::std::vec::Vec<u64>,
    most: ::std::option::Option<u64>,
    fast: bool,
}

#[derive(::trainloop::Metrics, Serialize, Deserialize, ::std::clone::Clone)]
struct Numbers {
    #[metric(reduce = mean, unit = "s")]
    seconds: f64,
    #[metric(nested)]
    inner: Inner,
}

#[derive(::trainloop::Metrics, Serialize, Deserialize, ::std::clone::Clone)]
struct Inner {
    #[metric(reduce = last)]
    last: u64,
}

#[derive(::trainloop::TrainState)]
struct Kept<T> {
    #[state(serde)]
    round: T,
}

impl ::trainloop::prelude::InitState<Numbers, Settings> for Kept<u64> {
    fn init(_: &mut Context<Numbers>, _: &Settings) -> ::trainloop::Result<Self> {
        ::std::result::Result::Ok(Self { round: 0 })
    }
}

#[::trainloop::train_loop(
    strategy = single,
    workers = 0,
    use_gpu = false,
    backend = gloo,
    resume = never,
    name = "hygiene",
    failure(max_failures = 1),
    checkpoint(keep = 2, score = max(inner.last), every = "10m")
)]
fn train(lent: &mut Context<Numbers>, settings: Settings, kept: &mut Kept<u64>) -> ::trainloop::Result<u64> {
    while kept.round < settings.rounds {
        kept.round += 1;
        lent.report_with(Numbers { seconds: 0.5, inner: Inner { last: kept.round } }, kept)?;
    }
    ::std::result::Result::Ok(kept.round)
}

#[derive(::trainloop::data::Collate)]
struct Sample {
    a: i64,
    #[collate(pad = 0)]
    tokens: ::std::vec::Vec<i64>,
}

#[::trainloop::callback(report, order = 2)]
fn note(report: &mut ::trainloop::prelude::Report<Numbers>) {
    report.metrics_mut().seconds += 1.0;
}

#[::trainloop::callback(report, on = driver, only = train)]
fn told(_: &::trainloop::prelude::Ranks<Numbers>) -> ::trainloop::Result<()> {
    ::std::result::Result::Ok(())
}

mod run {
    use ::std::prelude::rust_2024::*;
    use ::std::{assert_eq, panic};

    use ::trainloop::Result;
    use ::trainloop::prelude::{RunConfig, TorchTrainer};

    #[::trainloop::main]
    pub(super) fn main() -> Result<()> {
        let folder = ::tempfile::tempdir()?;
        let run = RunConfig::default().storage(folder.path()).progress(false);
        let settings = super::Settings { rounds: 2, width: Vec::new(), most: None, fast: false };
        let outcome = TorchTrainer::<super::train>::new(settings).run(run).fit()?;
        let Some(metrics) = outcome.metrics else { panic!("nothing was reported") };
        assert_eq!((outcome.output, metrics.inner.last, metrics.seconds), (2, 2, 1.5));
        Ok(())
    }
}

fn main() -> ::std::process::ExitCode {
    run::main()
}
