//! A loop that says which process it runs in, and goes on when a test says so.
//!
//!     spares PLAN
//!
//! In the N-th generation rank R adds its process's number to `pids-R`, and waits for the file `go-N`.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use trainloop::prelude::*;

#[derive(Deserialize)]
struct Plan {
    storage: PathBuf,
    workers: usize,
    max_failures: u64,
    /// `None` leaves it as it is by itself.
    warm_spares: Option<bool>,
    /// The file that says how many workers there is room for, of 1 to `workers`.
    slots: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Config {
    folder: PathBuf,
}

#[derive(TrainState)]
struct Nothing;

#[train_loop]
#[allow(clippy::needless_pass_by_value)] // a train loop is given its config
fn rest(ctx: &mut Context, config: Config) -> Result<()> {
    let own = config.folder.join(format!("pids-{}", ctx.rank()));
    writeln!(File::options().create(true).append(true).open(&own)?, "{}", std::process::id())?;
    let generation = fs::read_to_string(&own)?.lines().count();
    println!("in process {}", std::process::id());
    // With a checkpoint, so that the next generation's report has the next number.
    ctx.report_with((), &Nothing)?;
    let go = config.folder.join(format!("go-{generation}"));
    // There is no event for a file that another process makes.
    while !go.exists() {
        thread::sleep(Duration::from_millis(1));
    }
    ctx.barrier()
}

#[trainloop::main]
fn main() -> Result<()> {
    let plan = std::env::args().nth(1).unwrap_or_default();
    let Plan { storage, workers, max_failures, warm_spares, slots } =
        serde_json::from_str(&plan).map_err(Error::other)?;
    let mut scaling = match slots {
        Some(slots) => ScalingConfig::workers(1..=workers).slots_file(slots),
        None => ScalingConfig::workers(workers),
    };
    if let Some(warm_spares) = warm_spares {
        scaling = scaling.warm_spares(warm_spares);
    }
    let outcome = TorchTrainer::<rest>::new(Config { folder: std::env::current_dir()? })
        .scaling(scaling)
        .run(RunConfig::named("run").storage(storage).failure(FailureConfig::max_failures(max_failures)))
        .fit()?;
    println!("{}", json!({ "restarts": outcome.restarts }));
    Ok(())
}
