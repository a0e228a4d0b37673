//! A network that fails between the client and S3: what is tried again succeeds, what fails says so in time, and older
//! checkpoints are whole.

use std::time::Duration;

use trainloop_checkpoint::StorageOptions;

use crate::backend::{Backend, PART, Run, assert_files, files, s3_options};
use crate::proxy::{Fault, Proxy};
use crate::servers;

fn behind(proxy: &Proxy, options: impl FnOnce(StorageOptions) -> StorageOptions) -> Backend {
    Backend::at("s3://runs/of faults", options(s3_options(&proxy.url())))
}

fn proxy() -> Option<Proxy> {
    (!servers::are_skipped()).then(|| Proxy::before(servers::s3().port))
}

fn large() -> Vec<(usize, &'static str, Vec<u8>)> {
    vec![(0, "large", (0..PART * 2 + 7).map(|byte| (byte % 253) as u8).collect()), (1, "small", vec![1; 10])]
}

/// What the run has through a network that works.
fn whole(run: &Run) -> Option<u64> {
    let backend = Backend::at("s3://runs", s3_options(&servers::s3().url()));
    let (latest, warnings) = run.latest(&backend);
    assert_eq!(warnings, [""; 0]);
    latest
}

#[test]
fn an_upload_that_is_cut_in_its_middle_is_tried_again() {
    let Some(proxy) = proxy() else { return };
    let backend = behind(&proxy, |options| options);
    let run = backend.run_with(1);
    proxy.set(Fault::CutUp { connections: 3, after: PART as usize / 2 });
    let staged = run.stage(2, &large()).unwrap();
    assert_eq!(proxy.happened(), 3);
    proxy.set(Fault::None);
    let committed = run.checkpoints.commit(staged).unwrap();
    assert_files(&committed.folder, &large());
    assert_eq!(whole(&run), Some(2));
}

#[test]
fn an_upload_that_never_comes_through_is_an_error_that_names_it() {
    let Some(proxy) = proxy() else { return };
    let backend = behind(&proxy, |options| options.retry_for(Duration::from_millis(500)));
    let run = backend.run_with(1);
    proxy.set(Fault::CutUp { connections: usize::MAX, after: PART as usize / 2 });
    let error = run.stage(2, &large()).unwrap_err().to_string();
    assert!(
        error.contains("cannot write s3://runs/of faults/run-") && error.contains("checkpoint_000002/large"),
        "{error}"
    );
    assert!(proxy.happened() > 1, "it was tried again");
    proxy.set(Fault::None);
    run.checkpoints.abandon(2);
    assert!(!run.exists("checkpoint_000002/small"), "what came through is removed");
    assert_eq!(whole(&run), Some(1));
    run.checkpoint(3);
    assert_eq!(whole(&run), Some(3));
}

#[test]
fn a_download_that_is_cut_in_its_middle_is_tried_again() {
    let Some(proxy) = proxy() else { return };
    let backend = behind(&proxy, |options| options);
    let run = backend.run();
    run.checkpoints.commit(run.stage(1, &large()).unwrap()).unwrap();
    let (checkpoints, _folder) = run.elsewhere(&backend);
    proxy.set(Fault::CutDown { connections: 2, after: PART as usize / 2 });
    assert_files(&checkpoints.folder(1).unwrap(), &large());
    assert_eq!(proxy.happened(), 2);
}

#[test]
fn a_download_that_never_comes_through_is_no_damage_and_leaves_nothing() {
    let Some(proxy) = proxy() else { return };
    let backend = behind(&proxy, |options| options.retry_for(Duration::from_millis(500)));
    let run = backend.run_with(1);
    run.checkpoints.commit(run.stage(2, &large()).unwrap()).unwrap();
    let (checkpoints, folder) = run.elsewhere(&backend);
    // So little that all tries together are less than a part: each goes on where the one before was cut.
    proxy.set(Fault::CutDown { connections: usize::MAX, after: 64 << 10 });
    // Not checkpoint 1: the newest may be whole, and who went on from an older one would lose it.
    let error = checkpoints.latest_whole(&mut |warning| panic!("{warning}")).unwrap_err().to_string();
    assert!(
        error.contains("cannot read s3://runs/of faults/run-") && error.contains("checkpoint_000002/large"),
        "{error}"
    );
    let here = folder.unwrap().path().join("checkpoints");
    assert!(!here.join("checkpoint_000002").exists() && !here.join(".fetching-2").exists());
    proxy.set(Fault::None);
    assert_eq!(whole(&run), Some(2));
}

#[test]
fn a_slow_network_is_waited_for() {
    let Some(proxy) = proxy() else { return };
    let backend = behind(&proxy, |options| options);
    let run = backend.run();
    proxy.set(Fault::Slow(Duration::from_millis(20)));
    run.checkpoint(1);
    assert_files(
        &run.elsewhere(&backend).0.folder(1).unwrap_or_else(|_| run.checkpoints.folder(1).unwrap()),
        &files(1),
    );
    assert!(proxy.happened() > 10);
}

#[test]
fn a_service_that_is_silent_is_not_waited_for_without_end() {
    let Some(proxy) = proxy() else { return };
    let short = Duration::from_millis(300);
    let backend = behind(&proxy, |options| options.retry_for(short).request_within(short));
    let run = backend.run_with(1);
    proxy.set(Fault::Silent);
    let error = run.try_checkpoint(2).unwrap_err().to_string();
    assert!(error.contains("s3://runs/of faults/run-") && error.contains("does not answer in time"), "{error}");
    assert!(proxy.happened() > 0);
    proxy.set(Fault::None);
    assert_eq!(whole(&run), Some(1));
}

#[test]
fn a_service_that_refuses_connections_is_said_to() {
    let Some(proxy) = proxy() else { return };
    let backend = behind(&proxy, |options| options.retry_for(Duration::from_millis(300)));
    let run = backend.run_with(1);
    proxy.close();
    let error = run.try_checkpoint(2).unwrap_err().to_string();
    assert!(error.contains("s3://runs/of faults/run-") && error.contains("cannot be reached"), "{error}");
    assert_eq!(whole(&run), Some(1));
}

/// The manifest is there, though its writer heard nothing: the second try is refused by the first one's success.
#[test]
fn a_commit_whose_answer_is_lost_is_a_commit() {
    let Some(proxy) = proxy() else { return };
    let backend = behind(&proxy, |options| options);
    let run = backend.run_with(1);
    let staged = run.stage(2, &files(2)).unwrap();
    proxy.set(Fault::LoseAnswer { requests: 1, to: "manifest.json" });
    assert_eq!(run.checkpoints.commit(staged).unwrap().index, 2);
    assert_eq!(proxy.happened(), 1);
    assert_eq!(whole(&run), Some(2));
}

#[test]
fn a_lock_whose_answer_is_lost_is_ours() {
    let Some(proxy) = proxy() else { return };
    let backend = behind(&proxy, |options| options);
    proxy.set(Fault::LoseAnswer { requests: 1, to: "lock.json" });
    let run = backend.run();
    assert_eq!(proxy.happened(), 1);
    proxy.set(Fault::LoseAnswer { requests: 1, to: "lock.json" });
    run.checkpoint(1);
    assert_eq!(proxy.happened(), 1, "the lock is renewed before a commit");
    assert_eq!(whole(&run), Some(1));
}
