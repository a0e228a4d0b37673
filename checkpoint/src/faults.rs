//! Crashes at every step, disks that fail, folders that vanish: a complete checkpoint is found after each.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::commit::{self, commit_until};
use crate::delete::{self as deletion, delete_until};
use crate::disk::is_full;
use crate::fixture::{Disk, FileSystem, bytes, checkpoint, copy_tree, latest, resumed, run_with, scratch, stage};
use crate::layout::{checkpoint_folder, checkpoints_folder, deleting_folder, journal_file, staging_folder};

/// Nothing in the folder of this run stops the next checkpoint.
fn goes_on(run: &Path) {
    let next = highest_index(run).unwrap().map_or(0, |index| index + 1);
    checkpoint(run, next);
    assert_eq!(latest(run), (Some(next), vec![]));
}

#[test]
fn a_crash_at_any_step_of_a_commit_leaves_the_old_or_the_new() {
    for old in [None, Some(1)] {
        for steps in 0..=commit::STEPS.len() {
            let run = run_with(old.unwrap_or(0));
            commit_until(run.path(), stage(run.path(), 2).unwrap(), steps).unwrap();
            let is_renamed = steps > commit::STEPS.iter().position(|step| *step == commit::Step::Rename).unwrap();
            let expected = if is_renamed { Some(2) } else { old };
            assert_eq!(latest(run.path()), (expected, vec![]), "{steps} steps");
            assert_eq!(resumed(run.path()), expected, "{steps} steps");
            assert!(!staging_folder(run.path(), 2).exists());
            goes_on(run.path());
        }
    }
}

#[test]
fn a_crash_while_ranks_write_leaves_the_old() {
    let run = run_with(1);
    let staged = stage(run.path(), 2).unwrap();
    for entry in &staged.files {
        let copy = scratch();
        copy_tree(run.path(), copy.path());
        let half = staging_folder(copy.path(), 2).join(&entry.path);
        File::options().write(true).open(&half).unwrap().set_len(entry.bytes / 2).unwrap();
        assert_eq!(latest(copy.path()), (Some(1), vec![]));
        let swept = sweep(copy.path()).unwrap();
        assert_eq!(swept.removed, [".staging-2"]);
        assert_eq!(resumed(copy.path()), Some(1));
        goes_on(copy.path());
    }
}

#[test]
fn a_crash_while_the_journal_is_written_leaves_the_new() {
    let run = run_with(1);
    let before = fs::read(journal_file(run.path())).unwrap();
    checkpoint(run.path(), 2);
    let after = fs::read(journal_file(run.path())).unwrap();
    for cut in before.len()..after.len() {
        fs::write(journal_file(run.path()), &after[..cut]).unwrap();
        assert_eq!(latest(run.path()).0, Some(2), "cut at {cut}");
        assert_eq!(sweep(run.path()).unwrap().adopted, [2], "cut at {cut}");
        assert_eq!(fs::read(journal_file(run.path())).unwrap(), after, "the very same line");
    }
    assert_eq!(resumed(run.path()), Some(2));
}

/// A disk that says "flushed" when it is not.
#[test]
fn a_checkpoint_renamed_before_its_bytes_were_there_is_removed() {
    for half in ["manifest.json", "model", "ranks/1/generator"] {
        let run = run_with(1);
        commit_until(run.path(), stage(run.path(), 2).unwrap(), 4).unwrap();
        File::create(checkpoint_folder(run.path(), 2).join(half)).unwrap();
        let (index, warnings) = latest(run.path());
        assert_eq!(index, Some(1));
        assert!(warnings.len() == 1 && warnings[0].contains(half), "{warnings:?}");
        assert_eq!(sweep(run.path()).unwrap().removed, ["checkpoint_000002"]);
        assert_eq!(resumed(run.path()), Some(1));
        goes_on(run.path());
    }
}

#[test]
fn a_checkpoint_of_a_later_format_is_never_removed() {
    let run = run_with(1);
    let folder = checkpoint_folder(run.path(), 2);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("manifest.json"), r#"{"format": 2, "trainloop": "0.9.0"}"#).unwrap();
    let swept = sweep(run.path()).unwrap();
    assert!(swept.removed.is_empty() && swept.warnings[0].contains("trainloop 0.9.0"), "{swept:?}");
    assert!(folder.exists());
    assert_eq!(latest(run.path()).0, Some(1));
}

#[test]
fn one_kept_and_a_crash_at_any_step_of_the_deletion_leaves_one() {
    let retention = Retention { keep: NonZeroUsize::new(1), mode: Mode::Max };
    for steps in 0..=deletion::STEPS.len() {
        let run = run_with(2);
        let out = retention.deletions(&ranked(run.path()).unwrap(), &[]);
        assert_eq!(out, [1]);
        delete_until(run.path(), 1, steps);
        // Half of the files are gone when the process dies.
        let _ = fs::remove_file(deleting_folder(run.path(), 1).join("model"));
        // Between the rename and the journal, the latter still has it; checkpoint 2 is newer, and found without a word.
        assert_eq!(latest(run.path()), (Some(2), vec![]), "{steps} steps");
        assert_eq!(sweep(run.path()).unwrap().warnings, [""; 0], "{steps} steps");
        assert_eq!(resumed(run.path()), Some(2), "{steps} steps");
        let is_set_aside = steps >= 2;
        assert_eq!(committed(run.path()).unwrap(), if is_set_aside { vec![2] } else { vec![1, 2] }, "{steps} steps");
        assert_eq!(checkpoint_folder(run.path(), 1).exists(), !is_set_aside);
        goes_on(run.path());
    }
}

#[test]
fn a_deletion_leaves_nothing_and_one_of_what_is_gone_says_nothing() {
    let run = run_with(3);
    fs::create_dir_all(deleting_folder(run.path(), 2).join("an older one")).unwrap();
    fs::remove_dir_all(checkpoint_folder(run.path(), 1)).unwrap();
    assert_eq!(delete(run.path(), 1), None);
    assert_eq!(delete(run.path(), 2), None);
    assert_eq!(fs::read_dir(checkpoints_folder(run.path())).unwrap().count(), 1);
    assert_eq!(committed(run.path()).unwrap(), [3]);
    let events = read_journal(run.path(), &mut |_| {}).unwrap();
    assert_eq!(events[3..], [Event::Delete { index: 1 }, Event::Delete { index: 2 }]);
}

#[test]
fn a_commit_that_fails_says_why_and_touches_nothing() {
    type Sabotage = fn(&Path, &mut Staged);
    let staged_file = |run: &Path, name: &str| staging_folder(run, 2).join(name);
    let cases: [(&str, Sabotage); 8] = [
        ("ranks 0 and 1 both wrote the file `model`", |_, staged| {
            let again = FileEntry { rank: 1, ..staged.files[0].clone() };
            staged.files.push(again);
        }),
        ("model: missing, though rank 0 wrote it", |run, _| {
            fs::remove_file(staging_folder(run, 2).join("model")).unwrap();
        }),
        ("model: 12 bytes, though rank 0 wrote 13", |_, staged| staged.files[0].bytes += 1),
        ("`ranks/1/more` lies in", |run, _| fs::write(staging_folder(run, 2).join("ranks/1/more"), "x").unwrap()),
        ("`../../run.json`", |_, staged| staged.files[0].path = "../../run.json".into()),
        ("rank 5 of 2", |_, staged| staged.files[0].rank = 5),
        ("there is a checkpoint 1", |_, staged| staged.index = 1),
        ("missing", |run, _| fs::remove_dir_all(checkpoints_folder(run).join(".staging-2")).unwrap()),
    ];
    for (expected, sabotage) in cases {
        let run = run_with(1);
        let journal = fs::read(journal_file(run.path())).unwrap();
        let mut staged = stage(run.path(), 2).unwrap();
        sabotage(run.path(), &mut staged);
        let index = staged.index;
        let error = commit(run.path(), staged).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(index != 2 || !staged_file(run.path(), "").exists(), "{expected}");
        assert_eq!(fs::read(journal_file(run.path())).unwrap(), journal);
        assert_eq!(latest(run.path()), (Some(1), vec![]), "{expected}");
        assert_eq!(resumed(run.path()), Some(1));
        goes_on(run.path());
    }
}

#[test]
fn a_journal_that_cannot_be_written_does_not_cost_the_checkpoint() {
    let run = run_with(1);
    let (journal, aside) = (journal_file(run.path()), run.path().join("aside"));
    fs::rename(&journal, &aside).unwrap();
    fs::create_dir(&journal).unwrap();
    let error = commit(run.path(), stage(run.path(), 2).unwrap()).unwrap_err().to_string();
    assert!(error.contains("journal.jsonl") && error.contains("checkpoint 2 is whole"), "{error}");
    let warning = delete(run.path(), 1).unwrap();
    assert!(warning.contains("checkpoint 1 could not be deleted") && warning.contains("journal.jsonl"), "{warning}");
    assert_eq!(latest(run.path()).0, Some(2));
    fs::remove_dir(&journal).unwrap();
    fs::rename(&aside, &journal).unwrap();
    let swept = sweep(run.path()).unwrap();
    assert_eq!((swept.adopted, swept.warnings.len()), (vec![2], 1));
    assert!(swept.warnings[0].contains("checkpoint 1 is gone"), "{:?}", swept.warnings);
    assert_eq!(resumed(run.path()), Some(2));
}

#[test]
fn folders_that_vanish_are_told_once() {
    let run = run_with(3);
    fs::remove_dir_all(checkpoint_folder(run.path(), 3)).unwrap();
    let (index, warnings) = latest(run.path());
    assert_eq!(index, Some(2));
    assert!(warnings.len() == 1 && warnings[0].contains("checkpoint_000003"), "{warnings:?}");
    let swept = sweep(run.path()).unwrap();
    assert_eq!(swept.warnings, ["checkpoint 3 is gone, though the journal had it"]);
    assert_eq!(resumed(run.path()), Some(2));
    assert_eq!(highest_index(run.path()).unwrap(), Some(3), "its index is not used again");

    fs::remove_dir_all(checkpoints_folder(run.path())).unwrap();
    assert_eq!(latest(run.path()).0, None);
    assert_eq!(sweep(run.path()).unwrap().warnings.len(), 2);
    assert_eq!(resumed(run.path()), None);
    goes_on(run.path());
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let run = run_with(1);
    let mine = checkpoints_folder(run.path()).join("checkpoint_best");
    fs::create_dir(&mine).unwrap();
    fs::write(checkpoints_folder(run.path()).join(".staging-notes"), "x").unwrap();
    assert_eq!(resumed(run.path()), Some(1));
    assert_eq!(fs::read_dir(checkpoints_folder(run.path())).unwrap().count(), 3);
}

#[test]
fn a_full_disk_is_an_error_and_the_last_checkpoint_stays_whole() {
    // Of 33 sizes, how many are too small on each.
    for (file_system, expected) in [(FileSystem::Tmpfs, 5..30), (FileSystem::Ext4, 5..30)] {
        let Some(disk) = Disk::mount(file_system, 400) else { continue };
        let failures = fill_more_and_more(&disk.run());
        assert!(expected.contains(&failures), "{file_system:?}: {failures} of 33: the sizes of this test are off");
    }
}

/// How many commits failed.
fn fill_more_and_more(run: &Path) -> usize {
    let filler = run.join("filler");
    let mut failures = 0;
    for free in (0..=128).step_by(4) {
        let _ = fs::remove_dir_all(run);
        fs::create_dir(run).unwrap();
        checkpoint(run, 1);
        fill(&filler, free);
        // Large enough that the manifest and the journal need blocks of their own.
        let metrics = json!({"confusion": vec![0.25; 1500]});
        let committed = stage(run, 2).and_then(|staged| commit(run, Staged { metrics, ..staged }));
        if let Err(error) = &committed {
            failures += 1;
            let error = error.to_string();
            assert!(error.contains("the disk is full"), "{free}: {error}");
            assert!(error.contains("whole"), "{free}: {error}");
        }
        verify(&checkpoint_folder(run, 1)).unwrap();
        let (index, warnings) = latest(run);
        assert!(index == Some(1) || index == Some(2), "{free}: {index:?}");
        assert!(index == Some(2) || committed.is_err(), "{free}");
        assert!(warnings.iter().all(|warning| warning.contains("journal.jsonl")), "{free}: {warnings:?}");
        fs::remove_file(&filler).unwrap();
        assert_eq!(resumed(run), index, "{free}");
        goes_on(run);
    }
    failures
}

#[test]
fn a_deletion_makes_room_for_its_own_line() {
    let Some(disk) = Disk::mount(FileSystem::Tmpfs, 400) else { return };
    let run = disk.run();
    checkpoint(&run, 1);
    checkpoint(&run, 2);
    // The next line needs a block of its own.
    let mut journal = fs::read_to_string(journal_file(&run)).unwrap();
    let padding = 4096 - journal.len() - "{\"event\":\"pad\",\"x\":\"\"}\n".len();
    journal.push_str("{\"event\":\"pad\",\"x\":\"");
    journal.push_str(&"x".repeat(padding));
    journal.push_str("\"}\n");
    assert_eq!(journal.len(), 4096);
    fs::write(journal_file(&run), journal).unwrap();
    fill(&run.join("filler"), 0);
    journal::append(&run, &Event::Delete { index: 9 }).unwrap_err();
    assert_eq!(delete(&run, 1), None);
    assert_eq!(resumed(&run), Some(2));
    assert_eq!(committed(&run).unwrap(), [2]);
}

/// Takes all room of the disk but `free` kilobytes.
fn fill(filler: &Path, free: u64) {
    let mut file = File::create(filler).unwrap();
    let error = std::io::copy(&mut std::io::repeat(1), &mut file).unwrap_err();
    assert!(is_full(error.kind()), "{error}");
    let length = file.metadata().unwrap().len();
    file.set_len(length - free * 1024).unwrap();
}

#[test]
fn a_disk_that_is_read_only_is_still_read() {
    let Some(disk) = Disk::mount(FileSystem::Tmpfs, 1000) else { return };
    let run = disk.run();
    checkpoint(&run, 1);
    let half = stage(&run, 2).unwrap();
    disk.set_writable(false);
    assert_eq!(latest(&run), (Some(1), vec![]));
    for error in [stage(&run, 3).unwrap_err(), commit(&run, half).unwrap_err()] {
        let text = crate::error::with_causes(&error);
        assert!(text.contains("-2") || text.contains("-3"), "{text}");
        assert!(text.contains("ead-only"), "{text}");
    }
    let warning = delete(&run, 1).unwrap();
    assert!(warning.contains("checkpoint_000001") && warning.contains("ead-only"), "{warning}");
    let swept = sweep(&run).unwrap();
    assert!(swept.removed.is_empty() && swept.warnings[0].contains(".staging-2"), "{swept:?}");
    disk.set_writable(true);
    assert_eq!(resumed(&run), Some(1));
    goes_on(&run);
}

#[test]
fn any_rank_may_have_the_only_files_or_none() {
    for writers in [vec![], vec![0], vec![2], vec![0, 1, 2]] {
        let run = scratch();
        let staging = Staging::open(run.path(), 5).unwrap();
        let write = |&rank: &usize| staging.write_file(&format!("rank-{rank}"), rank, bytes(b"x")).unwrap();
        let files: Vec<_> = writers.iter().map(write).collect();
        let staged = Staged {
            index: 5,
            generation: 0,
            world_size: 3,
            report: 5,
            metrics: json!({}),
            score: Some(Score(f64::NAN)),
            files: files.clone(),
        };
        let committed = commit(run.path(), staged).unwrap();
        assert_eq!((committed.index, committed.folder), (5, checkpoint_folder(run.path(), 5)));
        let manifest = verify(&checkpoint_folder(run.path(), 5)).unwrap();
        assert_eq!(manifest.files, files);
        assert!(manifest.score.unwrap().0.is_nan());
    }
}
