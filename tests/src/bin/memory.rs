//! Saves a state of 256 MiB and restores it, and prints by how many MiB the process grew at most during each: `saved GROWTH`,
//! `restored GROWTH`.

use std::fs;

use tch::Tensor;
use trainloop::prelude::*;

const PARAMETERS: usize = 16;
/// Of 16 MiB.
const ELEMENTS: i64 = 4 * 1024 * 1024;

#[derive(TrainState)]
struct State {
    model: Model<Vec<Tensor>>,
}

/// By how many MiB this process grew, at the most, while `run` ran.
fn growth(run: impl FnOnce() -> Result<()>) -> Result<i64> {
    // The system counts the peak anew from here.
    fs::write("/proc/self/clear_refs", "5")?;
    let before = status("VmRSS:")?;
    run()?;
    Ok((status("VmHWM:")? - before) / 1024)
}

/// A number of `/proc/self/status`, in KiB.
fn status(name: &str) -> Result<i64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| Error::other(format!("/proc/self/status has no {name}")))
}

#[train_loop]
fn train(ctx: &mut Context) -> Result<()> {
    let model = ctx.prepare_model(|path| {
        (0..PARAMETERS).map(|number| path.ones(&format!("p{number}"), &[ELEMENTS])).collect::<Vec<_>>()
    })?;
    let mut state = State { model };
    if let Some(checkpoint) = ctx.checkpoint()? {
        println!("restored {}", growth(|| checkpoint.restore(&mut state))?);
    } else {
        println!("saved {}", growth(|| ctx.report_with((), &state))?);
    }
    Ok(())
}

#[trainloop::main]
fn main() -> Result<()> {
    let run = || RunConfig::named("run").storage("runs").progress(false);
    let fit =
        |resume| TorchTrainer::<train>::new(()).scaling(ScalingConfig::workers(0)).run(run().resume(resume)).fit();
    fit(Resume::Never)?;
    fit(Resume::Require)?;
    Ok(())
}
