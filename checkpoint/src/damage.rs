//! Every byte of a small checkpoint turned, every file cut at every length, links put in the place of files and folders:
//! refused by name or still right, and never a panic.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::fixture::{bytes, copy_tree, latest, run_with, scratch};
use crate::layout::{checkpoint_folder, journal_file, staging_folder};

/// A run with two checkpoints, the second of which has files of these names, each of some hundred bytes.
const FILES: [&str; 3] = ["model", "ranks/0/values", "ranks/1/generator"];

fn small_run() -> tempfile::TempDir {
    let run = run_with(1);
    let staging = Staging::open(run.path(), 2).unwrap();
    let content = |rank: usize| (0..200_u8).map(|byte| byte.wrapping_mul(37) ^ rank as u8).collect::<Vec<_>>();
    let write = |(rank, name): (usize, &&str)| staging.write_file(name, rank, bytes(&content(rank))).unwrap();
    let files = FILES.iter().enumerate().map(write).collect();
    let (metrics, score) = (serde_json::json!({"loss": 0.25}), Some(Score(0.25)));
    commit(run.path(), Staged { index: 2, generation: 0, world_size: 3, report: 2, metrics, score, files }).unwrap();
    run
}

/// Every way of damaging a file that keeps its length.
fn turned(whole: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    (0..whole.len()).flat_map(move |place| {
        (0..8).map(move |bit| {
            let mut turned = whole.to_vec();
            turned[place] ^= 1 << bit;
            (format!("bit {bit} of byte {place} turned"), turned)
        })
    })
}

fn cut(whole: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    (0..whole.len()).map(move |length| (format!("cut to {length} bytes"), whole[..length].to_vec()))
}

#[test]
fn a_file_with_any_bit_turned_or_of_any_other_length_is_refused_by_name() {
    let run = small_run();
    let dir = checkpoint_folder(run.path(), 2);
    for file in FILES.into_iter().chain([MANIFEST]) {
        let path = dir.join(file);
        let whole = fs::read(&path).unwrap();
        let longer = [("longer".to_owned(), [whole.as_slice(), b"\0"].concat())];
        for (number, (how, content)) in turned(&whole).chain(cut(&whole)).chain(longer).enumerate() {
            fs::write(&path, &content).unwrap();
            // Its last line feed is the one byte of a manifest that says nothing.
            let says_the_same = file == MANIFEST && content.trim_ascii_end() == whole.trim_ascii_end();
            match verify(&dir) {
                Ok(_) => assert!(says_the_same, "{file}, {how}: not refused"),
                Err(error) => {
                    let error = with_causes(&error);
                    assert!(error.contains(path.to_str().unwrap()) && !says_the_same, "{file}, {how}: {error}");
                }
            }
            // What a start does with it, which is slower.
            if number % 97 == 0 && !says_the_same {
                let (index, warnings) = latest(run.path());
                assert_eq!((index, warnings.len()), (Some(1), 1), "{file}, {how}: {warnings:?}");
                assert!(sweep(run.path()).unwrap().removed.is_empty() && dir.exists(), "{file}, {how}");
            }
        }
        fs::write(&path, whole).unwrap();
        verify(&dir).unwrap();
    }
}

#[test]
fn a_journal_with_any_bit_turned_or_cut_anywhere_costs_no_checkpoint() {
    let run = small_run();
    let path = journal_file(run.path());
    let whole = fs::read(&path).unwrap();
    let events = read_journal(run.path(), &mut |_| {}).unwrap();
    for (how, content) in turned(&whole).chain(cut(&whole)) {
        fs::write(&path, &content).unwrap();
        let mut warnings = Vec::new();
        match read_journal(run.path(), &mut |warning| warnings.push(warning)) {
            // A digit may have become another; a line never becomes two.
            Ok(read) => assert!(read.len() <= events.len(), "{how}: {read:?}"),
            Err(error) => warnings.push(with_causes(&error)),
        }
        assert!(warnings.iter().all(|warning| warning.contains("journal.jsonl, line ")), "{how}: {warnings:?}");
        let (index, warnings) = latest(run.path());
        assert_eq!(index, Some(2), "{how}");
        let is_named = |warning: &String| warning.contains("journal.jsonl") || warning.contains("checkpoint ");
        assert!(warnings.iter().all(is_named), "{how}: {warnings:?}");
        let swept = sweep(run.path()).unwrap();
        assert!(swept.removed.is_empty(), "{how}: {swept:?}");
        assert_eq!(latest(run.path()).0, Some(2), "{how}");
        let indices = committed(run.path()).unwrap();
        assert!([1, 2].iter().all(|index| indices.contains(index)), "{how}: {indices:?}");
    }
}

/// Whatever is at the link's other end: it may change, and a copy of the checkpoint would lack it.
#[test]
fn a_link_in_a_checkpoint_is_refused_though_it_leads_to_the_very_bytes() {
    for (link, is_outside) in [("model", true), ("ranks", true), ("ranks/1", true), ("ranks/1", false)] {
        let run = run_with(2);
        let dir = checkpoint_folder(run.path(), 2);
        let elsewhere = scratch();
        let target = if is_outside { elsewhere.path().join("moved") } else { dir.join("moved") };
        fs::rename(dir.join(link), &target).unwrap();
        symlink(&target, dir.join(link)).unwrap();
        let error = verify(&dir).unwrap_err().to_string();
        let path = dir.join(link);
        assert!(error.contains(path.to_str().unwrap()) && error.contains("link"), "{link}: {error}");
        let (index, warnings) = latest(run.path());
        assert_eq!((index, warnings.len()), (Some(1), 1), "{link}: {warnings:?}");
        assert!(sweep(run.path()).unwrap().removed.is_empty() && target.exists(), "{link}");
    }
}

/// Unlike a link inside: old checkpoints may have been moved to another disk.
#[test]
fn a_checkpoint_may_be_a_link_itself() {
    let run = run_with(2);
    let elsewhere = scratch();
    let (dir, target) = (checkpoint_folder(run.path(), 2), elsewhere.path().join("moved"));
    copy_tree(&dir, &target);
    fs::remove_dir_all(&dir).unwrap();
    symlink(&target, &dir).unwrap();
    assert_eq!(latest(run.path()), (Some(2), vec![]));
}

/// A commit looks at what is staged as a reader does at what is committed.
#[test]
fn a_link_among_what_is_staged_is_not_committed() {
    let run = run_with(1);
    let staged = crate::fixture::stage(run.path(), 2).unwrap();
    let (folder, elsewhere) = (staging_folder(run.path(), 2).join("ranks"), scratch());
    let target = elsewhere.path().join("moved");
    copy_tree(&folder, &target);
    fs::remove_dir_all(&folder).unwrap();
    symlink(&target, &folder).unwrap();
    let error = commit(run.path(), staged).unwrap_err().to_string();
    assert!(error.contains(".staging-2/ranks") && error.contains("link"), "{error}");
    assert_eq!(latest(run.path()), (Some(1), vec![]));
    assert!(Path::new(&target).join("1/generator").exists(), "what a link leads to is not removed");
}
