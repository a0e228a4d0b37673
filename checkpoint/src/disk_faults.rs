//! Disks that fail at any one operation, or from it on: the last good checkpoint is whole, the error says what to do, the
//! next checkpoint goes on, and nothing half is left.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::commit;
use crate::fault::{Operation, POINTS, inject};
use crate::fixture::{checkpoint, latest, resumed, run_with, scratch, stage};
use crate::layout::checkpoint_folder;

/// What a disk can do, and the words by which a user knows it and what to do.
const TROUBLES: [(&str, [&str; 3]); 3] = [
    ("full", ["the disk is full", "whole", "make room and resume"]),
    ("eio", ["the disk fails", "whole", "the system's log"]),
    ("readonly", ["the disk is read-only", "whole", "make the disk writable"]),
];

/// One checkpoint more, and one less, as a run with `keep = 1` does it; the warning if the latter failed.
fn save_and_prune(run: &Path, index: u64) -> Result<Option<String>> {
    commit(run, stage(run, index)?)?;
    Ok(delete(run, index - 1))
}

#[test]
fn whichever_operation_fails_one_checkpoint_is_whole_and_the_next_goes_on() {
    let mut failed_at = BTreeSet::new();
    for (kind, words) in TROUBLES {
        for goes_on in ["", "+"] {
            for number in 1.. {
                let run = run_with(1);
                let scope = inject(&format!("*={kind}@{number}{goes_on}"));
                let saved = save_and_prune(run.path(), 2);
                let happened = scope.happened();
                drop(scope);
                let Some(first) = happened.first() else { break };
                failed_at.insert(first.name());
                let how = format!("{kind}@{number}{goes_on} at {}", first.name());

                let (index, warnings) = latest(run.path());
                // A line cut short that could not be undone either.
                assert!(warnings.iter().all(|warning| warning.contains("journal.jsonl")), "{how}: {warnings:?}");
                match &saved {
                    // Until the rename the old one is the last, from then on the new one.
                    Err(error) => {
                        let error = with_causes(error);
                        for words in words {
                            assert!(error.contains(words), "{how}: {error}");
                        }
                        let is_renamed =
                            matches!(first.name(), "commit/flush-parent") || first.name().starts_with("journal");
                        assert_eq!(index, Some(1 + u64::from(is_renamed)), "{how}");
                        verify(&checkpoint_folder(run.path(), 1)).unwrap();
                        assert!(!is_renamed || checkpoint_folder(run.path(), 2).exists(), "{how}");
                    }
                    Ok(Some(warning)) => {
                        assert_eq!(index, Some(2), "{how}");
                        assert!(warning.contains("checkpoint 1 could not be deleted"), "{how}: {warning}");
                        assert!(warning.contains(words[0]) && warning.contains(words[2]), "{how}: {warning}");
                    }
                    // A deletion makes room for its own line.
                    Ok(None) => assert!(index == Some(2) && first.name().starts_with("journal"), "{how}"),
                }
                // The run goes on, though nothing was swept.
                let warning = save_and_prune(run.path(), 3).unwrap();
                assert_eq!(warning, None, "{how}");
                assert_eq!(latest(run.path()), (Some(3), vec![]), "{how}");
                assert_eq!(resumed(run.path()), Some(3), "{how}");
            }
        }
    }
    // Each operation of the sequence was the first to fail once.
    let run = run_with(1);
    let scope = inject("");
    save_and_prune(run.path(), 2).unwrap();
    let operations = scope.passed().into_iter().filter(|point| point.operation() != Operation::Step);
    assert_eq!(failed_at, operations.map(|point| point.name()).collect());
}

#[test]
fn a_first_checkpoint_that_fails_leaves_a_run_that_can_begin() {
    for (kind, words) in TROUBLES {
        for number in 1.. {
            let run = scratch();
            let scope = inject(&format!("*={kind}@{number}"));
            let saved = stage(run.path(), 1).and_then(|staged| commit(run.path(), staged));
            let has_happened = !scope.happened().is_empty();
            drop(scope);
            if !has_happened {
                break;
            }
            let error = with_causes(&saved.unwrap_err());
            assert!(words.iter().all(|words| error.contains(words)), "{kind}@{number}: {error}");
            let found = resumed(run.path());
            assert!(found.is_none() || found == Some(1), "{kind}@{number}: {found:?}");
            checkpoint(run.path(), 2);
            assert_eq!(resumed(run.path()), Some(2), "{kind}@{number}");
        }
    }
}

/// What a sweep could not do is a warning, and the next one does it.
#[test]
fn a_sweep_that_fails_at_any_operation_is_done_by_the_next() {
    for (kind, _) in TROUBLES {
        for number in 1.. {
            let run = littered();
            let scope = inject(&format!("*={kind}@{number}"));
            let swept = sweep(run.path()).unwrap();
            let happened = scope.happened();
            drop(scope);
            if happened.is_empty() {
                break;
            }
            // One that fails to undo what failed before it has had its word.
            assert!(!swept.warnings.is_empty(), "{kind}@{number} at {happened:?}");
            assert_eq!(latest(run.path()), (Some(3), vec![]), "{kind}@{number}");
            assert_eq!(resumed(run.path()), Some(3), "{kind}@{number}");
        }
    }
}

/// A run with something staged, something half deleted, and a checkpoint of which the journal has no line.
fn littered() -> tempfile::TempDir {
    let run = run_with(2);
    {
        let _scope = inject("delete/remove=eio");
        delete(run.path(), 1).unwrap();
    }
    {
        let _scope = inject("journal/write=eio");
        commit(run.path(), stage(run.path(), 3).unwrap()).unwrap_err();
    }
    stage(run.path(), 4).unwrap();
    run
}

/// No operation on the disk has a point that nothing passes.
#[test]
fn every_point_is_passed() {
    let run = scratch();
    let scope = inject("stage/write=full@4, journal/write=full@3");
    checkpoint(run.path(), 1);
    save_and_prune(run.path(), 2).unwrap_err();
    commit::abandon(run.path(), 2);
    commit(run.path(), stage(run.path(), 2).unwrap()).unwrap();
    assert_eq!(delete(run.path(), 1), None);
    stage(run.path(), 3).unwrap();
    sweep(run.path()).unwrap();
    let passed: BTreeSet<_> = scope.passed().iter().map(fault::Point::name).collect();
    let above = ["worker/", "controller/"];
    let own = POINTS.iter().map(fault::Point::name).filter(|name| !above.iter().any(|crate_| name.starts_with(crate_)));
    assert_eq!(passed, own.collect());
}
