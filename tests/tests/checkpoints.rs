//! Checkpoints of files and of states: what is kept, what is found again, and what damage does.

mod common;
mod script_common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Sandbox, await_that};
use script_common::{Play, files, names, program, report, state};
use serde_json::json;
use trainloop_tests::script::Act;

/// What is done to a checkpoint's folder, with a name for it.
type Damage<'a> = (&'a str, &'a dyn Fn(&Path));

fn show() -> Vec<Vec<Vec<Act>>> {
    vec![vec![vec![Act::ShowCheckpoint]]]
}

/// Any rank may have the only files, and those of several ranks come together; a copy is a checkpoint, too.
#[test]
fn files_of_all_ranks_come_together() {
    let sandbox = Sandbox::new();
    let play = Play::new(&sandbox, 2);
    let ranks = vec![
        vec![files("1", &[]), files("2", &[("deep/zero", 3), ("a", 0)]), files("3", &[])],
        vec![files("1", &[("only", 9)]), files("2", &[("deep/one", 4)]), files("3", &[])],
    ];
    play.finish(&sandbox, &vec![ranks]);
    assert_eq!(names(&play.checkpoint(0)), ["manifest.json", "only"]);
    assert_eq!(names(&play.checkpoint(1)), ["a", "deep", "manifest.json"]);
    assert_eq!(names(&play.checkpoint(1).join("deep")), ["one", "zero"]);
    assert_eq!(names(&play.checkpoint(2)), ["manifest.json"]);

    let (from, to) = (play.checkpoint(1), sandbox.path().join("copy"));
    let copy = [from.to_str().unwrap(), to.to_str().unwrap()];
    let ended = program(&sandbox, &["copy", copy[0], copy[1]]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "3 3\n"), "{ended:#?}");
    assert_eq!(fs::read(to.join("deep/one")).unwrap(), b"xxxx");
    let again = program(&sandbox, &["copy", copy[0], copy[1]]);
    assert!(again.code == Some(1) && again.stderr.contains("copy"), "{again:#?}");
    let not_one = program(&sandbox, &["copy", sandbox.path().to_str().unwrap(), "elsewhere"]);
    assert!(not_one.code == Some(1) && not_one.stderr.contains("manifest.json"), "{not_one:#?}");
}

/// One name from two ranks ends the run with that name and a rank; the checkpoint before is whole.
#[test]
fn one_name_from_two_ranks_is_refused() {
    let sandbox = Sandbox::new();
    let play = Play::new(&sandbox, 2);
    let ranks = vec![
        vec![files("1", &[]), files("2", &[("same", 1)])],
        vec![files("1", &[("a", 1)]), files("2", &[("same", 1)])],
    ];
    play.fail(&sandbox, &vec![ranks], &["two ranks wrote one file name", "`same`", "rank "]);
    assert_eq!(play.folders(), ["checkpoint_000000"]);
    let ended = play.end(&sandbox, &vec![vec![vec![Act::ShowCheckpoint], vec![]]]);
    assert!(ended.code == Some(0) && ended.stdout.contains("begins from checkpoint 0"), "{ended:#?}");
}

/// What is kept is as the ranking says: ties are the newer's, NaN comes last, and the newest stays whatever its score.
#[test]
fn the_best_are_kept() {
    let cases: [(_, _, &[&str], &[u64], u64); 5] = [
        (2, Some("max"), &["1", "9", "5", "7", "2"], &[1, 3, 4], 1),
        (2, Some("min"), &["1", "9", "5", "7", "2"], &[0, 4], 0),
        (1, Some("max"), &["5", "5", "NaN", "inf", "NaN"], &[1, 4], 1),
        (1, Some("min"), &["NaN", "NaN"], &[1], 1),
        (1, None, &["3", "2"], &[1], 1),
    ];
    for (keep, score, values, kept, best) in cases {
        let sandbox = Sandbox::new();
        let play = Play { keep: Some(keep), score, ..Play::new(&sandbox, 0) };
        let acts = values.iter().map(|value| files(value, &[("a", 1)])).collect();
        let outcome = play.finish(&sandbox, &vec![vec![acts]]);
        let expected: Vec<String> = kept.iter().map(|index| format!("checkpoint_{index:06}")).collect();
        assert_eq!(play.folders(), expected, "{values:?}");
        let newest = values.len() - 1;
        assert_eq!(outcome["latest"], json!({ "index": newest, "value": values[newest], "world_size": 1 }));
        assert_eq!(outcome["best"], json!({ "index": best, "value": values[best as usize], "world_size": 1 }));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

/// The newest is damaged: it is named, and the one before is used. All are damaged: an error.
#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let sandbox = Sandbox::new();
    let whole = Play::new(&sandbox, 0);
    whole.finish(&sandbox, &vec![vec![(1..4).map(|value| files(&value.to_string(), &[("data", 100)])).collect()]]);
    let edit = |folder: &Path, from: &str, to: &str| {
        let manifest = folder.join("manifest.json");
        let text = fs::read_to_string(&manifest).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(manifest, text.replace(from, to)).unwrap();
    };
    let damages: [Damage<'_>; 7] = [
        ("edited", &|folder| fs::write(folder.join("data"), [b"y".as_slice(), &[b'x'; 99]].concat()).unwrap()),
        ("cut", &|folder| fs::write(folder.join("data"), "xxx").unwrap()),
        ("removed", &|folder| fs::remove_file(folder.join("data")).unwrap()),
        ("manifest-cut", &|folder| fs::write(folder.join("manifest.json"), "{\"format\":").unwrap()),
        ("manifest-gone", &|folder| fs::remove_file(folder.join("manifest.json")).unwrap()),
        ("outside", &|folder| edit(folder, "\"data\"", "\"../checkpoint_000001/data\"")),
        ("absolute", &|folder| edit(folder, "\"data\"", "\"/etc/passwd\"")),
    ];
    for (name, damage) in damages {
        let play = Play { storage: sandbox.path().join(name), ..whole.clone() };
        copy(&whole.run(), &play.run());
        damage(&play.checkpoint(2));
        let ended = play.end(&sandbox, &vec![vec![vec![Act::ShowCheckpoint, files("4", &[("data", 1)])]]]);
        assert_eq!(ended.code, Some(0), "{name}: {ended:#?}");
        assert!(ended.stdout.contains("begins from checkpoint 1"), "{name}: {ended:#?}");
        assert!(ended.stderr.contains("checkpoint 2 is passed over"), "{name}: {ended:#?}");
        assert_eq!(ended.json()["latest"]["index"], 3, "{name}");
        assert!(play.checkpoint(2).exists(), "{name}: what is damaged is the user's to look at");
    }
    let play = Play { storage: sandbox.path().join("all"), ..whole.clone() };
    copy(&whole.run(), &play.run());
    for index in 0..3 {
        fs::write(play.checkpoint(index).join("data"), "").unwrap();
    }
    play.fail(&sandbox, &show(), &["every checkpoint of the run", "checkpoint 0 is passed over", "another name"]);
}

/// A disk without room is an error that says so; the checkpoint before is whole, and with room the run goes on.
#[test]
fn a_full_disk_ends_the_run_and_no_more() {
    let sandbox = Sandbox::new();
    for workers in [0, 2] {
        let play = Play { storage: sandbox.path().join(format!("small-{workers}")), ..Play::new(&sandbox, workers) };
        fs::create_dir(&play.storage).unwrap();
        let Some(disk) = SmallDisk::mount(&play.storage) else {
            println!("skipped: only root may mount a disk of its own");
            return;
        };
        let none = || files("1", &[]);
        let first = vec![vec![files("1", &[("a", 1000)]), files("2", &[("a", 600_000)])], vec![none(), none()]];
        let second = vec![vec![Act::ShowCheckpoint, files("2", &[("a", 600_000)])], vec![none()]];
        play.fail(&sandbox, &vec![first], &["the disk is full"]);
        assert_eq!(play.folders(), ["checkpoint_000000"]);
        disk.resize("4m");
        let ended = play.end(&sandbox, &vec![second]);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert!(ended.stdout.contains("begins from checkpoint 0"), "{ended:#?}");
        assert_eq!(ended.json()["reports"], 2);
    }
}

/// A disk of its own on a folder.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=400k", "tmpfs"]).arg(folder);
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }

    fn resize(&self, size: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]).arg(self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// The run's folder vanishes under a running driver.
#[test]
fn a_storage_that_vanishes_is_an_error() {
    for workers in [0, 2] {
        let sandbox = Sandbox::new();
        let play = Play::new(&sandbox, workers);
        let acts =
            vec![files("1", &[("a", 1)]), Act::Make("made".to_owned()), Act::Await("go".to_owned()), files("2", &[])];
        let other = vec![files("1", &[]), files("2", &[])];
        let running = play.start(&sandbox, &vec![vec![acts, other]]);
        await_that("the first checkpoint is there", || sandbox.path().join("made").exists());
        fs::rename(play.run(), sandbox.path().join("moved")).unwrap();
        fs::write(sandbox.path().join("go"), "").unwrap();
        let ended = running.end();
        sandbox.await_no_process();
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        assert!(ended.stderr.contains("runs/run is gone") && !ended.stderr.contains("panicked"), "{ended:#?}");
    }
}

/// One rank reports with a checkpoint and the other without, whoever comes first: an error, and no hang.
#[test]
fn ranks_that_disagree_about_a_checkpoint_are_told() {
    for reporter in 0..2 {
        for reporter_is_first in [true, false] {
            let sandbox = Sandbox::new();
            let play = Play::new(&sandbox, 2);
            let wait = Act::Await("never".to_owned());
            let mut ranks = vec![vec![files("1", &[("a", 1)])]; 2];
            ranks[reporter] = vec![report("1"), Act::Make("reported".to_owned()), wait];
            if reporter_is_first {
                ranks[1 - reporter].insert(0, Act::Await("reported".to_owned()));
            } else {
                let staged = play.run().join("checkpoints/.staging-0/a");
                ranks[reporter].insert(0, Act::Await(staged.to_str().unwrap().to_owned()));
            }
            play.fail(&sandbox, &vec![ranks], &["every rank calls `report_with` for the same reports"]);
        }
    }
}

/// A state that has changed since is refused by the name of what differs.
#[test]
fn another_state_is_refused() {
    let sandbox = Sandbox::new();
    let play = Play::new(&sandbox, 0);
    play.finish(&sandbox, &vec![vec![vec![state("1")]]]);
    let cases: [(&str, &[&str]); 4] = [
        ("added", &["no value `patience`", "renamed or added since"]),
        ("removed", &["holds `count`", "removed or renamed since"]),
        ("renamed", &["no value `counter`", "#[state(rename"]),
        ("wide", &["`model`", "`bias` is [2] of float in the checkpoint and [3] of float in the model"]),
    ];
    for (shape, words) in cases {
        play.fail(&sandbox, &vec![vec![vec![Act::Restore(shape.to_owned())]]], words);
    }
    let ended = play.end(&sandbox, &vec![vec![vec![Act::Restore("renamed knowingly".to_owned())]]]);
    assert!(ended.code == Some(0) && ended.stdout.contains("restored 7"), "{ended:#?}");

    let of_files = Play { storage: sandbox.path().join("other"), ..play };
    of_files.finish(&sandbox, &vec![vec![vec![files("1", &[("a", 1)])]]]);
    of_files.fail(
        &sandbox,
        &vec![vec![vec![Act::Restore("plain".to_owned())]]],
        &["files of your own", "as_directory"],
    );
}
