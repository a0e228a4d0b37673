//! The project's own chores, as `cargo xtask <verb>`; one file for each verb.
//!
//! `setup` finds or fetches libtorch; the other verbs call it first, so that each works in a fresh clone.

mod bench;
mod cargo;
mod chaos;
mod check_cuda;
mod ci;
mod failure;
mod fuzz;
mod gpu_bundle;
mod peers;
mod run;
mod second;
mod setup;
mod test;
mod versions;
mod with_cuda;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The chores of the trainloop workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Setup(setup::Args),
    Run(run::Args),
    Test(test::Args),
    Bench(bench::Args),
    Ci(ci::Args),
    Fuzz(fuzz::Args),
    Chaos(chaos::Args),
    CheckCuda(check_cuda::Args),
    GpuBundle(gpu_bundle::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Setup(args) => setup::main(&args),
        Verb::Run(args) => run::main(&args),
        Verb::Test(args) => test::main(&args),
        Verb::Bench(args) => bench::main(&args),
        Verb::Ci(args) => ci::main(&args),
        Verb::Fuzz(args) => fuzz::main(&args),
        Verb::Chaos(args) => chaos::main(&args),
        Verb::CheckCuda(args) => check_cuda::main(&args),
        Verb::GpuBundle(args) => gpu_bundle::main(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.code)
        }
    }
}
