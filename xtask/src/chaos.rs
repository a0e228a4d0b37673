//! `cargo xtask chaos`: a run is killed again and again, or meets faults of all kinds, and must end as one that was left alone.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::failure::{Doing, Failure, Result, fail};
use crate::{cargo, setup};

/// Kill a training run again and again, or let it meet faults; it must end as one that was left alone.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often it is killed; from 32 on, every point of a commit has its kill
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// Instead, for how long one run meets faults from which it comes back by itself: for each minute a rank killed, stopped,
    /// and slowed down, a connection to the driver shut down, a full disk. The undisturbed run for comparison comes after it
    #[arg(long, conflicts_with = "kills", value_parser = clap::value_parser!(u32).range(1..))]
    minutes: Option<u32>,
    /// For the moments: the same number draws the same kills, or the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the runs in this new folder; otherwise they are removed
    #[arg(long)]
    folder: Option<PathBuf>,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let root = cargo::root()?;
    setup::ensure(&root)?;
    let campaign = cargo::binaries(&root, &["chaos", "chaos_campaign"])?.pop();
    let Some(campaign) = campaign else { return fail("cargo built no `chaos_campaign`") };

    let temporary = tempfile::tempdir().doing(|| "cannot make a temporary folder for the runs")?;
    let folder = args.folder.clone().unwrap_or_else(|| temporary.path().join("chaos"));
    if folder.exists() {
        let folder = folder.display();
        return fail(format!("`--folder {folder}` is there already; name a new one, for traces of two would mix"));
    }
    let (what, how_many) = match args.minutes {
        Some(minutes) => ("minutes", minutes),
        None => ("kills", args.kills),
    };
    let mut command = Command::new(campaign);
    command.args([what, &how_many.to_string(), &args.seed.to_string()]).arg(&folder).stdin(Stdio::null());
    let output = command.stderr(Stdio::inherit()).output().doing(|| format!("cannot start the {what}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    if args.json {
        println!("{line}");
    } else if let Some(sentence) = sentence(line) {
        println!("{sentence}");
    }
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new(match sentence(line) {
        Some(sentence) => format!("something was lost: {sentence}; see it again with `--seed {} --folder`", args.seed),
        None => "the faults could not be done; the reason is above".to_owned(),
    }))
}

fn sentence(verdict: &str) -> Option<String> {
    let verdict: Value = serde_json::from_str(verdict).ok()?;
    if let Some(faults) = verdict["faults"].as_u64() {
        return Some(format!(
            "{faults} faults: back after {}, {} hangs; {} samples lost; half were back within {} s, 95 of 100 within {} s; {} of \
             an undisturbed run's samples per second",
            verdict["recovered"],
            verdict["hangs"],
            verdict["samples_lost"],
            verdict["recovery_p50_s"],
            verdict["recovery_p95_s"],
            verdict["throughput_retained"],
        ));
    }
    let equal = if verdict["bit_equal"].as_bool()? { "equal" } else { "NOT equal" };
    Some(format!(
        "{} kills: the last checkpoint is {equal} bit for bit; {} samples lost, {} repeated, {} checkpoints damaged",
        verdict["kills"], verdict["samples_lost"], verdict["samples_repeated"], verdict["damaged_checkpoints"]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_said_in_words() {
        let line = r#"{"kills":2,"bit_equal":false,"samples_lost":3,"samples_repeated":0,"damaged_checkpoints":1}"#;
        let expected =
            "2 kills: the last checkpoint is NOT equal bit for bit; 3 samples lost, 0 repeated, 1 checkpoints damaged";
        assert_eq!(sentence(line).unwrap(), expected);

        let line = r#"{"faults":5,"recovered":4,"hangs":1,"samples_lost":null,"recovery_p50_s":1.5,"recovery_p95_s":3.0,
            "throughput_retained":null}"#;
        let said = sentence(line).unwrap();
        assert!(
            said.starts_with("5 faults: back after 4, 1 hangs; null samples lost; half were back within 1.5 s"),
            "{said}"
        );
        assert_eq!(sentence(""), None);
    }
}
