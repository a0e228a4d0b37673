//! What holds wherever checkpoints lie.

use trainloop_checkpoint::{Mode, Retention, Staged};

use crate::backend::{Backend, PART, Run, assert_files, files};

pub(crate) fn a_checkpoint_comes_back_as_it_was_on_any_machine(backend: &Backend) {
    let run = backend.run();
    let mut large = files(1);
    // In parts, the last of them short.
    large.push((1, "ranks/1/large", (0..PART * 2 + 12_345).map(|byte| (byte % 251) as u8).collect()));
    let committed = run.checkpoints.commit(run.stage(1, &large).unwrap()).unwrap();
    assert_files(&committed.folder, &large);
    run.checkpoint(2);

    let (checkpoints, _folder) = run.elsewhere(backend);
    assert_eq!(checkpoints.committed().unwrap(), [1, 2]);
    assert_eq!(checkpoints.highest_index().unwrap(), Some(2));
    let folders: Vec<_> = std::thread::scope(|scope| {
        // The ranks of one machine, all at once.
        let ranks: Vec<_> = (0..3).map(|_| scope.spawn(|| checkpoints.folder(1).unwrap())).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    });
    assert_files(&folders[0], &large);
    assert!(folders.iter().all(|folder| *folder == folders[0]));
    let (index, folder, manifest) = checkpoints.latest_whole(&mut |warning| panic!("{warning}")).unwrap().unwrap();
    assert_eq!((index, manifest.report, manifest.world_size), (2, 2, 2));
    assert_files(&folder, &files(2));
}

pub(crate) fn nothing_counts_before_the_commit(backend: &Backend) {
    let run = backend.run();
    assert_eq!((run.latest(backend), run.checkpoints.highest_index().unwrap()), ((None, vec![]), None));
    let staged = run.stage(1, &files(1)).unwrap();
    assert_eq!(run.checkpoints.committed().unwrap(), [0; 0]);
    assert_eq!(run.latest(backend), (None, vec![]));
    run.checkpoints.commit(staged).unwrap();
    assert_eq!(run.latest(backend), (Some(1), vec![]));

    run.stage(2, &files(2)).unwrap();
    run.checkpoints.abandon(2);
    assert_eq!((run.latest(backend), run.checkpoints.highest_index().unwrap()), ((Some(1), vec![]), Some(1)));
    run.checkpoint(2);
    // One that exists cannot be given up.
    run.checkpoints.abandon(2);
    assert_eq!(run.latest(backend), (Some(2), vec![]));
}

pub(crate) fn what_is_deleted_is_gone_and_the_rest_stays(backend: &Backend) {
    let run = backend.run_with(4);
    let ranked = run.checkpoints.ranked().unwrap();
    let scores: Vec<_> = ranked.iter().map(|ranked| (ranked.index, ranked.score.unwrap().0 as u64)).collect();
    assert_eq!(scores, [(1, 1), (2, 2), (3, 3), (4, 4)]);
    let retention = Retention { keep: std::num::NonZeroUsize::new(1), mode: Mode::Min };
    for index in retention.deletions(&ranked, &[]) {
        assert_eq!(run.checkpoints.delete(index), None);
        // One that is gone already is no trouble.
        assert_eq!(run.checkpoints.delete(index), None);
        assert!(!run.exists(&format!("checkpoint_{index:06}/model")));
    }
    assert_eq!(run.checkpoints.committed().unwrap(), [1, 4]);
    assert_eq!(run.latest(backend), (Some(4), vec![]));
    assert_files(&run.elsewhere(backend).0.folder(4).unwrap_or_else(|_| run.checkpoints.folder(4).unwrap()), &files(4));
    let swept = run.checkpoints.sweep().unwrap();
    assert!(swept.removed.is_empty() && swept.warnings.is_empty(), "{swept:?}");
}

pub(crate) fn a_commit_that_cannot_be_true_is_refused_and_touches_nothing(backend: &Backend) {
    type Sabotage = fn(&Run, &mut Staged);
    let cases: [(&str, Sabotage); 5] = [
        ("ranks 0 and 1 both wrote the file `model`", |_, staged| {
            let mut again = staged.files[0].clone();
            again.rank = 1;
            staged.files.push(again);
        }),
        ("though rank 0 wrote 72001", |_, staged| staged.files[0].bytes += 1),
        ("missing, though rank 0 wrote it", |_, staged| staged.files[0].path = "another".into()),
        ("but no rank says that it wrote it", |_, staged| {
            staged.files.remove(0);
        }),
        ("there is a checkpoint 1", |_, staged| staged.index = 1),
    ];
    for (expected, sabotage) in cases {
        let run = backend.run_with(1);
        let mut staged = run.stage(2, &files(2)).unwrap();
        sabotage(&run, &mut staged);
        if staged.index == 1 {
            // Its files would lie in the place of those that are there.
            staged.files = run.stage(1, &files(1)).map_or(staged.files, |staged| staged.files);
        }
        let error = run.checkpoints.commit(staged).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(run.checkpoints.committed().unwrap(), [1], "{expected}");
        assert_eq!(run.latest(backend), (Some(1), vec![]), "{expected}");
        run.checkpoints.sweep().unwrap();
        run.checkpoint(3);
        assert_eq!(run.latest(backend), (Some(3), vec![]), "{expected}");
    }
}

pub(crate) fn what_a_crash_left_is_swept(backend: &Backend) {
    let run = backend.run_with(2);
    // Killed while ranks wrote.
    run.stage(3, &files(3)).unwrap();
    // Killed while one was deleted: in a folder this is one that was renamed.
    if run.storage.is_some() {
        run.damage("checkpoint_000001/manifest.json", None);
    } else {
        let parent = run.folder.path().join("checkpoints");
        std::fs::rename(parent.join("checkpoint_000001"), parent.join(".deleting-1")).unwrap();
    }
    assert_eq!(run.latest(backend), (Some(2), vec![]));
    assert_eq!(run.checkpoints.highest_index().unwrap(), Some(3), "an index that was begun is not used again");
    let swept = run.checkpoints.sweep().unwrap();
    assert!(swept.removed.len() >= 2 && swept.warnings.is_empty(), "{swept:?}");
    for gone in ["checkpoint_000001/model", ".deleting-1", "checkpoint_000003/model", ".staging-3"] {
        assert!(!run.exists(gone), "{gone}");
    }
    assert!(run.checkpoints.sweep().unwrap().removed.is_empty());
    assert_eq!((run.checkpoints.committed().unwrap(), run.latest(backend)), (vec![2], (Some(2), vec![])));
    run.checkpoint(4);
    assert_eq!(run.latest(backend), (Some(4), vec![]));
}

pub(crate) fn damage_is_named_and_the_checkpoint_before_is_used(backend: &Backend) {
    let mut changed = files(3)[0].2.clone();
    changed[4_321] ^= 1;
    let cases: [(&str, Option<&[u8]>, &str); 5] = [
        ("model", Some(&changed), "changed since it was written"),
        ("model", Some(b"short"), "5 bytes, though rank 0 wrote 72000"),
        ("model", None, "missing, though rank 0 wrote it"),
        ("manifest.json", Some(b"{\"format\": 1"), "not a whole manifest"),
        ("manifest.json", Some(b"{\"format\": 2, \"trainloop\": \"9.9.9\"}"), "format 2, which trainloop 9.9.9 wrote"),
    ];
    for (file, bytes, expected) in cases {
        let run = backend.run_with(3);
        run.damage(&format!("checkpoint_000003/{file}"), bytes);
        let (index, warnings) = run.latest(backend);
        assert_eq!(index, Some(2), "{expected}");
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        let named = format!("checkpoint_000003/{file}");
        assert!(warning.contains("checkpoint 3 is passed over") && warning.contains(&named), "{warning}");
        assert!(warning.contains(expected), "{warning}");
        // A driver that has it on its disk would not know, but for the comparison with the storage.
        if bytes.is_none() || file == "manifest.json" {
            continue;
        }
        if run.storage.is_some() {
            let error = run.elsewhere(backend).0.folder(3).unwrap_err().to_string();
            assert!(error.contains(&named) && error.contains(expected), "{error}");
        }
    }
}

pub(crate) fn what_is_not_ours_is_left_alone(backend: &Backend) {
    let run = backend.run_with(1);
    for name in ["mine/notes", "checkpoint_best/model", "checkpoint_7/model"] {
        run.damage(name, Some(b"x"));
    }
    let swept = run.checkpoints.sweep().unwrap();
    assert!(swept.removed.is_empty() && swept.warnings.is_empty(), "{swept:?}");
    assert_eq!(run.checkpoints.committed().unwrap(), [1]);
    assert_eq!(run.checkpoints.delete(1), None);
    for name in ["mine/notes", "checkpoint_best/model", "checkpoint_7/model"] {
        assert!(run.exists(name), "{name}");
    }
}
