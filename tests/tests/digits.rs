//! The example `digits` as a stranger runs it: on any number of workers, and with every mistake that one can make.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use common::{Ended, Running, Sandbox, example, workspace};

static DIGITS: LazyLock<PathBuf> = LazyLock::new(|| example("digits"));

fn digits(sandbox: &Sandbox, arguments: &[&str]) -> Ended {
    let mut command = sandbox.command(&*DIGITS);
    command.args(arguments);
    let ended = Running::start(command).end();
    sandbox.assert_no_process();
    ended
}

/// With 0 to 3 workers: exit code 0, and the last line of standard output is one JSON object.
#[test]
fn any_number_of_workers_trains() {
    let sandbox = Sandbox::new();
    for workers in ["0", "1", "2", "3"] {
        // Small batches, so that three workers, too, take enough steps in one epoch.
        let options = ["--workers", workers, "--epochs", "1", "--batch-size", "16", "--json", "--name", workers];
        let ended = digits(&sandbox, &options);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let outcome = ended.json();
        let keys: Vec<&String> = outcome.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["run", "metrics", "best", "restarts", "seconds"]);
        assert_eq!(outcome["run"], format!("runs/{workers}"));
        assert_eq!((&outcome["metrics"]["epoch"], &outcome["restarts"]), (&1.into(), &0.into()));
        let accuracy = outcome["metrics"]["val_accuracy"].as_f64().unwrap();
        assert!((0.5..=1.0).contains(&accuracy), "{workers} workers: {outcome}");
        assert_eq!(ended.stderr, "", "with --json nothing else is printed");
        assert_eq!(ended.stdout.lines().count(), 1, "{ended:#?}");
    }
}

/// A mistake ends with 1 before a worker starts: the first line on standard error holds these words, and whatever lies in the
/// sandbox is as it was.
#[track_caller]
fn refuses(sandbox: &Sandbox, arguments: &[&str], words: &[&str]) {
    let before = contents(sandbox.path());
    let ended = digits(sandbox, arguments);
    assert_eq!(ended.code, Some(1), "{arguments:?}: {ended:#?}");
    assert_eq!(ended.stdout, "", "{arguments:?}");
    let line = ended.stderr.lines().next().unwrap_or_default();
    assert!(line.starts_with("error: "), "{arguments:?}: {ended:#?}");
    for words in words {
        assert!(ended.stderr.contains(words), "{arguments:?}: no {words:?} in {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{arguments:?}: {ended:#?}");
    assert_eq!(contents(sandbox.path()), before, "{arguments:?}: something is left behind");
    println!("{arguments:?}\n{}", ended.stderr);
}

/// Every path below `folder`, with the bytes of files.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        }
        found.push((path.clone(), fs::read(path).unwrap_or_default()));
    }
    found.sort();
    found
}

/// A copy of the shipped data, to be damaged.
fn data(sandbox: &Sandbox, name: &str) -> PathBuf {
    let folder = sandbox.path().join(name);
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(workspace().join("examples/digits/data")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    folder
}

/// Options that cannot be right, each named with what would be.
#[test]
fn options_that_cannot_be_right_are_refused() {
    let sandbox = Sandbox::new();
    refuses(&sandbox, &["--wrokers", "2"], &["'--wrokers'", "'--workers'"]);
    refuses(&sandbox, &["extra"], &["'extra'", "Usage: "]);
    for workers in ["two", "-1", "1.5", ""] {
        refuses(&sandbox, &[&format!("--workers={workers}")], &[&format!("'{workers}'"), "--workers"]);
    }
    refuses(&sandbox, &["--workers"], &["--workers", "value"]);
    refuses(&sandbox, &["--batch-size", "0"], &["'0'", "--batch-size", "at least 1"]);
    for rate in ["nan", "inf", "-1", "fast"] {
        refuses(&sandbox, &[&format!("--lr={rate}")], &[&format!("'{rate}'"), "--lr"]);
    }
}

/// Names that are no folder, and one of a folder that is no run: it stays as it was.
#[test]
fn run_names_that_cannot_be_are_refused() {
    let sandbox = Sandbox::new();
    for name in ["a/b", "..", "", ".hidden", "/absolute"] {
        refuses(&sandbox, &["--name", name], &[&format!("{name:?}"), "letters, digits"]);
    }
    let run = sandbox.storage().join("taken");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("reports.jsonl"), "kept\n").unwrap();
    refuses(&sandbox, &["--name", "taken"], &["runs/taken is no run"]);
}

/// A name that is taken is gone on with, and one with other options is refused with what differs.
#[test]
fn a_run_is_gone_on_with() {
    let sandbox = Sandbox::new();
    let arguments = ["--workers", "0", "--json", "--name", "run", "--epochs"];
    refuses(&sandbox, &[arguments.as_slice(), &["1", "--resume"]].concat(), &["there is no run at runs/run"]);
    let first = digits(&sandbox, &[arguments.as_slice(), &["1"]].concat()).json();
    for more in [["1"].as_slice(), &["1", "--resume"]] {
        let again = digits(&sandbox, &[arguments.as_slice(), more].concat());
        assert_eq!(again.code, Some(0), "{again:#?}");
        assert_eq!((&again.json()["metrics"], &again.json()["best"]), (&first["metrics"], &first["best"]));
    }
    let words = ["the run at runs/run cannot be gone on with", "its `epochs` is 1, not 2", "another name"];
    refuses(&sandbox, &[arguments.as_slice(), &["2"]].concat(), &words);
}

/// A file in the storage's way.
#[test]
fn a_storage_that_cannot_be_written_is_refused() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path().join("file"), "mine").unwrap();
    refuses(&sandbox, &["--storage", "file"], &["the storage file is not a folder; choose another"]);
    refuses(
        &sandbox,
        &["--storage", "file/deeper/still"],
        &["create the storage folder file/deeper", "Not a directory"],
    );
    refuses(&sandbox, &["--storage", "/proc/runs"], &["/proc/runs"]);
}

/// GPUs that are not there, with and without workers.
#[test]
fn missing_gpus_are_refused() {
    if tch::Cuda::device_count() > 0 {
        return;
    }
    let sandbox = Sandbox::new();
    refuses(&sandbox, &["--gpu"], &["2 GPUs", "0 on this machine"]);
    refuses(&sandbox, &["--gpu", "--workers", "0"], &["1 GPU ", "0 on this machine"]);
}

/// Data that is missing or damaged, by the name of the file.
#[test]
fn damaged_data_is_refused() {
    let sandbox = Sandbox::new();
    refuses(&sandbox, &["--data", "nowhere"], &["nowhere", "--data"]);
    let missing = data(&sandbox, "missing");
    fs::remove_file(missing.join("t10k-labels-idx1-ubyte.gz")).unwrap();
    refuses(&sandbox, &["--data", "missing"], &["missing/t10k-labels-idx1-ubyte", "No such file"]);

    let cut = data(&sandbox, "cut").join("train-images-idx3-ubyte.gz");
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    refuses(&sandbox, &["--data", "cut"], &["cut/train-images-idx3-ubyte.gz", "damaged after"]);

    let rubbish = data(&sandbox, "rubbish").join("t10k-images-idx3-ubyte.gz");
    fs::write(&rubbish, "<html>404</html>").unwrap();
    refuses(&sandbox, &["--data", "rubbish"], &["rubbish/t10k-images-idx3-ubyte.gz", "no IDX file"]);

    let swapped = data(&sandbox, "swapped");
    fs::copy(swapped.join("t10k-labels-idx1-ubyte.gz"), swapped.join("train-labels-idx1-ubyte.gz")).unwrap();
    refuses(&sandbox, &["--data", "swapped"], &["swapped/train-labels-idx1-ubyte", "do not fit"]);
    let empty = data(&sandbox, "empty");
    fs::write(empty.join("train-images-idx3-ubyte.gz"), "").unwrap();
    refuses(&sandbox, &["--data", "empty"], &["empty/train-images-idx3-ubyte.gz", "truncated"]);
}
