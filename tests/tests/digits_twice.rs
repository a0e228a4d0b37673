//! The digits examples that are written twice, without a trainer and with one: the same numbers, more workers, and a resume.

mod common;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use common::{Ended, Running, Sandbox};
use rustix::process::Signal;
use serde_json::Value;

const NAMES: [&str; 4] = ["torch_digits_before", "torch_digits", "accelerate_digits_before", "accelerate_digits"];

/// Built as in `digits.rs`.
static EXAMPLES: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).args(["build", "--workspace"]);
    build.args(NAMES.iter().flat_map(|name| ["--example", name])).args(["--message-format", "json"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let built = build.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let messages = String::from_utf8(built.stdout).unwrap();
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    messages.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?))).collect()
});

fn command(sandbox: &Sandbox, example: &str, arguments: &[&str]) -> Command {
    let path = EXAMPLES.iter().find(|path| path.file_stem() == Some(OsStr::new(example))).unwrap();
    let mut command = sandbox.command(path);
    // More threads would wait for one another where tests run beside each other, and add up in another order.
    command.args(arguments).env("OMP_NUM_THREADS", "1");
    command
}

fn run(sandbox: &Sandbox, example: &str, arguments: &[&str]) -> Ended {
    let ended = Running::start(command(sandbox, example, arguments)).end();
    sandbox.assert_no_process();
    ended
}

fn metrics(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.stdout.lines().count(), 1, "with --json nothing else is printed: {ended:#?}");
    ended.json()["metrics"].clone()
}

/// The loop without a trainer and the one with it, in one process: one and the same training.
#[test]
fn before_and_after_are_one_training() {
    let sandbox = Sandbox::new();
    for example in ["torch_digits", "accelerate_digits"] {
        let before = metrics(&run(&sandbox, &format!("{example}_before"), &["--epochs", "1", "--json"]));
        let after = metrics(&run(&sandbox, example, &["--epochs", "1", "--json", "--workers", "0"]));
        assert_eq!(before, after, "{example}");
        assert!((0.5..=1.0).contains(&after["val_accuracy"].as_f64().unwrap()), "{after}");
    }
}

/// Three workers train, and print what the example `digits` prints.
#[test]
fn the_examples_train_on_workers() {
    let sandbox = Sandbox::new();
    for example in ["torch_digits", "accelerate_digits"] {
        let options = ["--epochs", "1", "--batch-size", "16", "--json", "--workers", "3", "--name", example];
        let ended = run(&sandbox, example, &options);
        assert!((0.5..=1.0).contains(&metrics(&ended)["val_accuracy"].as_f64().unwrap()), "{ended:#?}");
        let outcome = ended.json();
        let mut keys: Vec<&String> = outcome.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["best", "metrics", "restarts", "run", "seconds"]);
        let none = run(&sandbox, example, &["--resume", "--name", "none", "--json"]);
        assert_eq!(none.code, Some(1));
        assert!(none.stderr.contains("there is no run at runs/none"), "{none:#?}");
    }
}

/// Killed after an epoch, or told to stop inside one, a run ends with the numbers of one that was not.
#[test]
fn the_examples_are_gone_on_with() {
    let sandbox = Sandbox::new();
    for (example, signal, code) in
        [("torch_digits", Signal::KILL, None), ("accelerate_digits", Signal::TERM, Some(143))]
    {
        let options = ["--epochs", "3", "--workers", "2"];
        let whole = metrics(&run(&sandbox, example, &[options.as_slice(), &["--json"]].concat()));
        let mut broken =
            Running::start(command(&sandbox, example, &[options.as_slice(), &["--name", example]].concat()));
        broken.await_lines(&["report   1"]);
        broken.signal(signal);
        assert_eq!(broken.end().code, code, "{example}");
        sandbox.await_no_process();
        let again = run(&sandbox, example, &[options.as_slice(), &["--name", example, "--resume", "--json"]].concat());
        assert_eq!(metrics(&again), whole, "{example}");
    }
}
