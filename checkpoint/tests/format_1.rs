//! A run of format 1 that is kept for ever: whatever changes, it is read.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use trainloop_checkpoint::safetensors::{Dtype, read_header};
use trainloop_checkpoint::{Checkpoints, Manifest, verify};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format-1")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn its_manifest_and_its_files_are_whole() {
    let manifest = verify(&folder().join("checkpoints/checkpoint_000207")).unwrap();
    let Manifest { format, index, generation, world_size, report, score, metrics, files, .. } = manifest;
    assert_eq!((format, index, generation, world_size, report), (1, 207, 1, 2, 29));
    assert_eq!(score.map(|score| score.0), None);
    assert_eq!(metrics, serde_json::json!({"epoch": 29, "loss": 0.409_058_153_148_620_4}));
    let mut names: Vec<_> = files.iter().map(|entry| (entry.path.as_str(), entry.rank)).collect();
    names.sort_unstable();
    let expected = [
        ("model.safetensors", 0),
        ("optimizer.safetensors", 0),
        ("ranks/rank-0.msgpack", 0),
        ("ranks/rank-1.msgpack", 1),
    ];
    assert_eq!(names, expected);
}

#[test]
fn its_tensors_are_found() {
    let path = folder().join("checkpoints/checkpoint_000207/model.safetensors");
    let mut file = File::open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    let tensors = read_header(&mut file, length).unwrap();
    let found: Vec<_> =
        tensors.iter().map(|entry| (entry.name.as_str(), entry.dtype, entry.shape.as_slice())).collect();
    let expected: [(&str, Dtype, &[i64]); 6] = [
        ("convolution.bias", Dtype::F32, &[8]),
        ("convolution.weight", Dtype::F32, &[8, 1, 3, 3]),
        ("hidden.bias", Dtype::F32, &[32]),
        ("hidden.weight", Dtype::F32, &[32, 128]),
        ("output.bias", Dtype::F32, &[10]),
        ("output.weight", Dtype::F32, &[10, 32]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn its_journal_is_read_and_gone_on_with() {
    let run = tempfile::tempdir().unwrap();
    copy(&folder(), run.path());
    let checkpoints = Checkpoints::in_folder(run.path());
    assert_eq!(checkpoints.committed().unwrap(), [206, 207]);
    assert_eq!(checkpoints.highest_index().unwrap(), Some(207));
    let ranked: Vec<_> = checkpoints.ranked().unwrap().iter().map(|ranked| (ranked.index, ranked.score)).collect();
    assert_eq!(ranked, [(206, None), (207, None)]);
    let latest = checkpoints.latest_whole(&mut |warning| panic!("{warning}")).unwrap();
    assert_eq!(latest.map(|(index, ..)| index), Some(207));
    // Nothing is amiss: the journal has what the folders have.
    let swept = checkpoints.sweep().unwrap();
    assert!(swept.removed.is_empty() && swept.adopted.is_empty() && swept.warnings.is_empty(), "{swept:?}");
    // Without the journal the folder speaks for itself.
    fs::remove_file(run.path().join("journal.jsonl")).unwrap();
    assert_eq!(checkpoints.sweep().unwrap().adopted, [206, 207]);
}
