//! A `main` that takes the command line, in real processes: what it gives the loop, and how a mistake in it ends.

mod common;

use std::fs;

use common::{Ended, Running, Sandbox};
use serde_json::json;

fn run(sandbox: &Sandbox, line: &[&str]) -> Ended {
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_command_line"));
    command.args(line);
    let ended = Running::start(command).end();
    sandbox.assert_no_process();
    ended
}

/// Two workers get what options, `--set`, a file and the defaults say together; the body of `main` runs once, in the driver.
#[test]
fn workers_get_the_config_from_all_sources() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path().join("run.toml"), "epochs = 3\nlr = 0.1\nwidth = [8, 4]\nnote = 'of the file'\n").unwrap();
    fs::write(sandbox.path().join("run.json"), r#"{"epochs": 4, "note": null}"#).unwrap();
    for (line, expected) in [
        (vec!["--epochs=1"], json!({"epochs": 1, "lr": 3e-3, "width": [], "note": null})),
        (vec!["--set", "epochs=2", "--set", "lr=1e-5"], json!({"epochs": 2, "lr": 1e-5, "width": [], "note": null})),
        (vec!["--config", "run.toml"], json!({"epochs": 3, "lr": 0.1, "width": [8, 4], "note": "of the file"})),
        (
            vec!["--config", "run.json", "--set", "width=2", "--set=width=1", "--note", "typed"],
            json!({"epochs": 4, "lr": 3e-3, "width": [2, 1], "note": "typed"}),
        ),
    ] {
        let ended = run(&sandbox, &line);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert_eq!(ended.json(), json!({"workers": 2, "config": expected}), "{line:?}");
        assert_eq!(ended.stdout.matches("the body of main runs").count(), 1, "{ended:#?}");
    }
    let ended = run(&sandbox, &["--epochs", "1", "--workers", "0", "--storage", "elsewhere"]);
    assert_eq!((ended.code, &ended.json()["workers"]), (Some(0), &json!(1)), "{ended:#?}");
    assert!(sandbox.path().join("elsewhere").is_dir());
}

/// A mistake is all that is said; nothing of `main` runs, and nothing is left.
#[test]
fn a_mistake_ends_the_program() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path().join("wrong.toml"), "epochs = 1\nlr = 'high'\n").unwrap();
    fs::write(sandbox.path().join("half.json"), "{\"lr\": 1}").unwrap();
    let usage = "Usage: command_line [OPTIONS] --epochs <EPOCHS>\n\nFor more information, try '--help'.\n";
    for (line, expected) in [
        (
            vec!["--set", "epoch=1"],
            "unexpected field 'epoch' in '--set epoch=1'; did you mean 'epochs'? (there is: 'epochs', 'lr', 'width', 'note')",
        ),
        (
            vec!["--epochs", "1", "--set", "epochs=2"],
            "the argument '--set epochs=2' cannot be used with '--epochs <EPOCHS>': both set the field 'epochs'; leave one \
             of them out",
        ),
        (vec!["--config", "wrong.toml"], "invalid value 'high' for 'lr' in 'wrong.toml': invalid float literal"),
        (
            vec!["--config", "missing.toml"],
            "invalid value 'missing.toml' for '--config <FILE>': there is no such file; check the path",
        ),
        (
            vec!["--config", "half.json"],
            "the following required fields were given neither by an option nor by '--set', nor in 'half.json':\n  --epochs \
             <EPOCHS>",
        ),
    ] {
        let ended = run(&sandbox, &line);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{line:?}");
        assert_eq!(ended.stderr, format!("error: {expected}\n\n{usage}"), "{line:?}");
    }
    assert!(!sandbox.storage().exists());
}

/// Help goes to standard output, and ends well.
#[test]
fn help_is_no_mistake() {
    let ended = run(&Sandbox::new(), &["-h"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:#?}");
    for words in ["Trains nothing\n", "--epochs <EPOCHS>", "--config <FILE>", "--set <NAME=VALUE>", "--workers <N>"] {
        assert!(ended.stdout.contains(words), "no {words:?} in {}", ended.stdout);
    }
}

/// A worker has no command line of its own: it looks for its driver, and at nothing else.
#[test]
fn a_worker_reads_no_command_line() {
    let sandbox = Sandbox::new();
    for line in ["--help", "--wrong"] {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_command_line"));
        command.arg(line).env("TRAINLOOP_WORKER", "0:1:trainloop-x:token");
        let ended = Running::start(command).end();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:#?}");
        assert!(ended.stderr.contains("the driver has ended"), "{ended:#?}");
    }
}
