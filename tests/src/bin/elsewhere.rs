//! Runs a loop of another crate, which is found by its type alone. With `--other` as its first argument, a worker is
//! another program, as after a start with two builds.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use trainloop::prelude::*;
use trainloop_test_loops::{Config, count};

fn main() -> ExitCode {
    let other = std::env::args().nth(1).filter(|argument| argument == "--other");
    if other.is_some() && std::env::var_os("TRAINLOOP_WORKER").is_some() {
        let program = std::env::var_os("TRAINLOOP_TEST_OTHER").unwrap_or_default();
        let error = Command::new(program).exec();
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    driver_or_worker::main()
}

mod driver_or_worker {
    use super::{Config, Result, RunConfig, TorchTrainer, count};

    #[trainloop::main]
    pub(super) fn main() -> Result<()> {
        let outcome = TorchTrainer::<count>::new(Config { rounds: 3 })
            .run(RunConfig::default().storage("runs").progress(false))
            .fit()?;
        println!("{} {:?} {}", outcome.output, outcome.metrics, outcome.path.display());
        Ok(())
    }
}
