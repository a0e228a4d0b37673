//! Bytes that are not what was written: refused by name, the checkpoint before is used, and never a panic.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::fixture::{latest, run_with};
use crate::layout::{checkpoint_folder, journal_file};

const FILES: [&str; 4] = ["manifest.json", "model", "ranks/0/empty", "ranks/1/generator"];

/// Checkpoint 2 is refused with this file's name, and 1 is used.
fn is_refused(run: &Path, file: &str, how: &str) {
    let dir = checkpoint_folder(run, 2);
    let error = crate::error::with_causes(&verify(&dir).unwrap_err());
    let path = dir.join(file);
    assert!(error.contains(path.to_str().unwrap()), "{file} {how}: {error}");
    let (index, warnings) = latest(run);
    assert_eq!(index, Some(1), "{file} {how}");
    assert!(warnings.len() == 1 && warnings[0].contains(file), "{file} {how}: {warnings:?}");
    // It may be all that the user has.
    let swept = sweep(run).unwrap();
    assert!(swept.removed.is_empty() && dir.exists(), "{file} {how}");
}

#[test]
fn every_file_that_is_cut_edited_or_replaced_is_named() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 8] = [
        ("cut to nothing", |path| fs::write(path, "").unwrap()),
        ("cut in half", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("with one bit turned", |path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
            }
            fs::write(path, bytes).unwrap();
        }),
        ("with more bytes", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes.push(b'x');
            fs::write(path, bytes).unwrap();
        }),
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("replaced by a folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("replaced by a link to nowhere", |path| {
            fs::remove_file(path).unwrap();
            symlink("nowhere", path).unwrap();
        }),
        ("with all bytes zero", |path| {
            let length = fs::read(path).unwrap().len();
            fs::write(path, vec![0; length]).unwrap();
        }),
    ];
    for file in FILES {
        for (how, damage) in damages {
            let run = run_with(2);
            let path = checkpoint_folder(run.path(), 2).join(file);
            let before = fs::read(&path).unwrap();
            damage(&path);
            if fs::read(&path).is_ok_and(|after| after == before) {
                // An empty file cannot be cut.
                assert_eq!(file, "ranks/0/empty");
                continue;
            }
            is_refused(run.path(), file, how);
        }
    }
}

#[test]
fn a_folder_in_which_a_file_lies_may_be_gone_or_a_file() {
    for replacement in [None, Some("x")] {
        let run = run_with(2);
        let folder = checkpoint_folder(run.path(), 2).join("ranks/1");
        fs::remove_dir_all(&folder).unwrap();
        if let Some(content) = replacement {
            fs::write(&folder, content).unwrap();
        }
        is_refused(run.path(), "ranks/1/generator", "without its folder");
    }
}

#[test]
fn a_manifest_cut_or_turned_at_any_byte_is_refused() {
    let run = run_with(2);
    let dir = checkpoint_folder(run.path(), 2);
    let path = dir.join("manifest.json");
    let whole = fs::read(&path).unwrap();
    // Without its last line feed it still says all.
    let cut = (0..whole.len() - 1).map(|cut| whole[..cut].to_vec());
    let turned = (0..whole.len()).map(|place| {
        let mut turned = whole.clone();
        turned[place] ^= 1;
        turned
    });
    for (number, content) in cut.chain(turned).enumerate() {
        fs::write(&path, content).unwrap();
        let error = Manifest::read(&dir).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        if number % 50 == 0 {
            is_refused(run.path(), "manifest.json", &format!("in case {number}"));
        }
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(latest(run.path()), (Some(2), vec![]));
}

#[test]
fn a_manifest_of_anything_is_refused() {
    let run = run_with(2);
    let path = checkpoint_folder(run.path(), 2).join("manifest.json");
    let mut contents: Vec<Vec<u8>> = (0..100).map(random).collect();
    let texts = [
        "{}",
        "[]",
        "null",
        "{\"format\": \"1\"}",
        "{\"format\": 1e999}",
        "{\"format\": 1}",
        "{\"format\":1,\"blake3\":0}",
    ];
    contents.extend(texts.map(|text| text.as_bytes().to_vec()));
    contents.push(b"[".repeat(200_000));
    for content in contents {
        let how = format!("of {:?}", &content[..content.len().min(40)]);
        fs::write(&path, content).unwrap();
        is_refused(run.path(), "manifest.json", &how);
    }
}

#[test]
fn a_manifest_of_another_checkpoint_is_refused() {
    let run = run_with(2);
    let (first, second) = (checkpoint_folder(run.path(), 1), checkpoint_folder(run.path(), 2));
    for file in FILES {
        fs::copy(first.join(file), second.join(file)).unwrap();
    }
    let (index, warnings) = latest(run.path());
    assert_eq!(index, Some(1));
    assert!(warnings[0].contains("manifest.json: of checkpoint 1, not 2"), "{warnings:?}");
}

#[test]
fn whatever_the_journal_says_the_checkpoints_are_found_and_stay() {
    let run = run_with(2);
    let path = journal_file(run.path());
    let whole = fs::read(&path).unwrap();
    let cut = (0..whole.len()).step_by(3).map(|cut| whole[..cut].to_vec());
    let turned = (0..whole.len()).step_by(3).map(|place| {
        let mut turned = whole.clone();
        turned[place] ^= 1;
        turned
    });
    let replaced = (0..100).map(random);
    let lies = ["{\"event\":\"delete\",\"index\":2}\n", "{\"event\":\"commit\"}\n\n", "\n\n\n", "null\n"];
    let lies = lies.into_iter().map(|text| text.as_bytes().to_vec());
    for journal in cut.chain(turned).chain(replaced).chain(lies) {
        let how = String::from_utf8_lossy(&journal).into_owned();
        fs::write(&path, journal).unwrap();
        let (index, warnings) = latest(run.path());
        assert_eq!(index, Some(2), "{how}");
        let is_named = |warning: &String| warning.contains("journal.jsonl") || warning.contains("checkpoint_");
        assert!(warnings.iter().all(is_named), "{how}: {warnings:?}");
        let swept = sweep(run.path()).unwrap();
        assert!(swept.removed.is_empty(), "{how}: {swept:?}");
        let indices = committed(run.path()).unwrap();
        assert!(indices.contains(&1) && indices.contains(&2), "{how}: {indices:?}");
        assert_eq!(latest(run.path()).0, Some(2), "{how}");
    }
}

/// Some bytes, the same for the same seed, often with the marks of JSON in them.
fn random(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = next() % 200;
    let marks = b"{}[]\",:\n0159eE+-.\\ \xff\0tfn";
    (0..length)
        .map(|_| {
            let draw = next();
            if draw % 3 == 0 { (draw >> 8) as u8 } else { marks[(draw >> 8) as usize % marks.len()] }
        })
        .collect()
}
