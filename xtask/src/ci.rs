//! `cargo xtask ci`: everything that must hold before a change is taken, stage by stage.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Doing, Failure, Result, fail};
use crate::{cargo, fuzz, setup, test};

/// Check format, lints, tests, fuzzing, documentation and the example, and stop at the first that fails.
#[derive(clap::Args)]
pub(crate) struct Args {}

type Stage = (&'static str, fn(&Path) -> Result<()>);

const STAGES: [Stage; 7] = [
    ("format", format),
    ("setup", |root| setup::ensure(root).map(drop)),
    ("clippy", clippy),
    ("test", |root| test::tests(root, &[])),
    ("fuzz", fuzz::all),
    ("doc", doc),
    ("example", example),
];

/// Below this the example has not learnt its digits.
const ACCURACY: f64 = 0.95;

pub(crate) fn main(_: &Args) -> Result<()> {
    let root = cargo::root()?;
    let mut times = Vec::new();
    let mut end = Ok(());
    for (name, stage) in STAGES {
        eprintln!("\n== {name} ==");
        let start = Instant::now();
        end = stage(&root).map_err(|failure| {
            let code = failure.code;
            Failure::new(format!("stage `{name}`: {failure}")).with_code(code)
        });
        times.push((name, start.elapsed()));
        if end.is_err() {
            break;
        }
    }
    eprintln!("\n{}", table(&times, end.is_ok()));
    end
}

fn table(times: &[(&str, Duration)], passed: bool) -> String {
    times
        .iter()
        .enumerate()
        .map(|(index, (name, time))| {
            let failed = !passed && index + 1 == times.len();
            let word = if failed { "failed" } else { "passed" };
            format!("{name:<10} {word} {:>8.1} s", time.as_secs_f64())
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn format(root: &Path) -> Result<()> {
    for dir in [root, &root.join("ui-tests"), &root.join("fuzz")] {
        cargo::run(cargo::cargo(dir).args(["fmt", "--all", "--check"]))?;
    }
    Ok(())
}

fn clippy(root: &Path) -> Result<()> {
    // In the workspace the tests turn `object-store` on; the first is without it. What `test --peers` runs is to compile, at least.
    for packages in
        [["--package", "trainloop-checkpoint"].as_slice(), &["--workspace", "--features", "trainloop-tests/peers"]]
    {
        cargo::run(cargo::cargo(root).arg("clippy").args(packages).args(["--all-targets", "--", "-D", "warnings"]))?;
    }
    Ok(())
}

fn doc(root: &Path) -> Result<()> {
    cargo::run(cargo::cargo(root).args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// The example from end to end, judged by the last line it prints.
fn example(root: &Path) -> Result<()> {
    let storage = tempfile::tempdir().doing(|| "cannot make a temporary folder for the example")?;
    let mut command = Command::new(cargo::example(root, "digits", cargo::Features::Workspace, false)?);
    command.current_dir(root).args(["--workers", "2", "--epochs", "8", "--json", "--storage"]);
    command.arg(storage.path()).stdout(Stdio::piped());

    let mut child = command.spawn().doing(|| format!("cannot start `{}`", cargo::shown(&command)))?;
    let mut last = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.doing(|| "cannot read what the example prints")?;
            println!("{line}");
            if !line.trim().is_empty() {
                last = line;
            }
        }
    }
    let status = child.wait().doing(|| "cannot wait for the example to end")?;
    cargo::check(&command, status)?;
    let accuracy = accuracy(&last)?;
    if accuracy > ACCURACY {
        return Ok(());
    }
    fail(format!("the example ended with metrics.val_accuracy = {accuracy}, not above {ACCURACY}"))
}

fn accuracy(line: &str) -> Result<f64> {
    serde_json::from_str::<serde_json::Value>(line)
        .ok()
        .and_then(|outcome| outcome["metrics"]["val_accuracy"].as_f64())
        .ok_or_else(|| Failure::new(format!("the example's last line is not JSON with metrics.val_accuracy: {line:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_must_tell_the_accuracy() {
        let line = r#"{"metrics": {"epoch": 8, "val_accuracy": 0.97}}"#;
        assert!((accuracy(line).unwrap() - 0.97).abs() < 1e-12);
        for line in ["", "done", "{}", r#"{"metrics": {"val_accuracy": null}}"#] {
            assert!(accuracy(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_table_marks_only_the_stage_that_failed() {
        let times = [("format", Duration::from_millis(1250)), ("test", Duration::from_secs(3))];
        assert_eq!(table(&times, false), "format     passed      1.2 s\ntest       failed      3.0 s");
        assert!(!table(&times, true).contains("failed"));
    }
}
