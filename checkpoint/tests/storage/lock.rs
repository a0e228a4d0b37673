//! The run's lock: one driver at a time, and one that has lost it writes nothing.

use serde_json::{Value, json};
use trainloop_checkpoint::{Checkpoints, RunStorage, unix_now};

use crate::backend::{Backend, Run, files, options};

fn every_backend() -> Vec<Backend> {
    [Some(Backend::memory()), Backend::s3(), Backend::azure()].into_iter().flatten().collect()
}

/// The same run for another driver.
fn another(run: &Run, backend: &Backend) -> RunStorage {
    run.reopened(backend, run.folder.path())
}

fn lock_of(run: &Run) -> Option<Value> {
    let text = run.storage.as_ref().unwrap().get("lock.json").unwrap()?;
    Some(serde_json::from_slice(&text).unwrap())
}

fn write_lock(run: &Run, lock: &Value) {
    run.storage.as_ref().unwrap().put("lock.json", serde_json::to_vec(lock).unwrap()).unwrap();
}

/// A driver's on another machine.
fn foreign(expires_unix: f64) -> Value {
    json!({"host": "far-away", "pid": 77, "machine": "another", "started": 1, "id": "x", "expires_unix": expires_unix})
}

#[test]
fn a_second_driver_is_refused_and_told_by_whom() {
    for backend in every_backend() {
        let mut run = backend.run();
        let second = another(&run, &backend);
        let error = second.lock().unwrap_err().to_string();
        assert!(error.contains("in the hands of another driver"), "{error}");
        assert!(error.contains(&format!("(process {} on ", std::process::id())), "{error}");
        assert!(error.contains("more seconds") && error.contains(second.url()), "{error}");
        // Given back, it is free at once.
        run.lock = None;
        assert_eq!(lock_of(&run), None);
        let lock = second.lock().unwrap();
        another(&run, &backend).lock().unwrap_err();
        drop(lock);
    }
}

#[test]
fn of_many_drivers_at_once_one_has_the_run() {
    for backend in every_backend() {
        let mut run = backend.run();
        run.lock = None;
        let drivers: Vec<_> = (0..8).map(|_| another(&run, &backend)).collect();
        let locks: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = drivers.iter().map(|driver| scope.spawn(|| driver.lock())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let holders = locks.iter().filter(|lock| lock.is_ok()).count();
        assert_eq!(holders, 1, "{locks:?}");
    }
}

#[test]
fn an_expired_lock_is_taken_over_and_one_that_lasts_is_not() {
    for backend in every_backend() {
        let mut run = backend.run();
        run.lock = None;
        write_lock(&run, &foreign(unix_now() + 100.0));
        let error = another(&run, &backend).lock().unwrap_err().to_string();
        assert!(error.contains("process 77 on far-away"), "{error}");
        // What clocks may differ by is not yet past.
        write_lock(&run, &foreign(unix_now() - 1.0));
        another(&run, &backend).lock().unwrap_err();
        write_lock(&run, &foreign(unix_now() - 100.0));
        let lock = another(&run, &backend).lock().unwrap();
        assert_eq!(lock_of(&run).unwrap()["pid"], std::process::id());
        drop(lock);
    }
}

#[test]
fn the_lock_of_a_process_that_is_no_more_is_taken_over_at_once() {
    let backend = Backend::memory();
    let mut run = backend.run();
    let ours = lock_of(&run).unwrap();
    run.lock = None;
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let mut of_another_start = ours.clone();
    of_another_start["started"] = json!(1);
    let mut of_the_dead = ours.clone();
    of_the_dead["pid"] = json!(ended.id());
    for dead in [of_another_start, of_the_dead] {
        write_lock(&run, &dead);
        drop(another(&run, &backend).lock().unwrap());
    }
    // A process that lives keeps it, and so does one of another machine, whose number means nothing here.
    let mut elsewhere = ours.clone();
    elsewhere["machine"] = json!("another");
    elsewhere["pid"] = json!(ended.id());
    for alive in [ours, elsewhere] {
        write_lock(&run, &alive);
        another(&run, &backend).lock().unwrap_err();
    }
}

#[test]
fn a_driver_that_lost_its_lock_writes_nothing_more() {
    for backend in every_backend() {
        let mut run = backend.run_with(2);
        let staged = run.stage(3, &files(3)).unwrap();
        let taken = foreign(unix_now() + 100.0);
        write_lock(&run, &taken);
        std::fs::write(run.folder.path().join("reports.jsonl"), "lost\n").unwrap();
        let lost = |error: &str| {
            assert!(error.contains("has lost the lock") && error.contains("process 77 on far-away"), "{error}");
        };
        lost(&run.checkpoints.commit(staged).unwrap_err().to_string());
        lost(&run.checkpoints.delete(1).unwrap());
        lost(&run.checkpoints.sweep().unwrap_err().to_string());
        lost(&run.storage.as_ref().unwrap().store_records().unwrap_err().to_string());
        assert_eq!(run.checkpoints.committed().unwrap(), [1, 2]);
        assert!(run.exists("checkpoint_000003/model"), "the other's to sweep");
        assert_eq!(run.storage.as_ref().unwrap().get("reports.jsonl").unwrap(), None);
        // What it gives up is not the other's.
        run.lock = None;
        assert_eq!(lock_of(&run).unwrap(), taken);
    }
}

#[test]
fn without_the_lock_nothing_is_committed() {
    let backend = Backend::memory();
    let run = backend.run_with(1);
    let other = another(&run, &backend);
    let checkpoints = Checkpoints::in_storage(&other);
    let error = checkpoints.commit(run.stage(2, &files(2)).unwrap()).unwrap_err().to_string();
    assert!(error.contains("is not locked by this process"), "{error}");
    assert_eq!(run.checkpoints.committed().unwrap(), [1]);
}

#[test]
fn a_lock_that_cannot_be_read_is_named() {
    let backend = Backend::memory();
    let mut run = backend.run();
    run.lock = None;
    run.storage.as_ref().unwrap().put("lock.json", b"{".to_vec()).unwrap();
    let error = another(&run, &backend).lock().unwrap_err().to_string();
    assert!(error.contains("lock.json cannot be read") && error.contains("remove it"), "{error}");
}

/// The time of a lease is short here, and the events are its renewals: each writes another end.
#[test]
fn the_lock_is_renewed_while_it_is_held() {
    let short = options().lease(std::time::Duration::from_millis(150));
    let backend = Backend::at("memory://renewals", short);
    let run = backend.run();
    let mut ends = vec![lock_of(&run).unwrap()["expires_unix"].clone()];
    while ends.len() < 4 {
        let end = lock_of(&run).unwrap()["expires_unix"].clone();
        if ends.last() != Some(&end) {
            ends.push(end);
        }
    }
    another(&run, &backend).lock().unwrap_err();
}

#[test]
fn records_come_back_on_another_machine() {
    for backend in every_backend() {
        let run = backend.run();
        let storage = run.storage.as_ref().unwrap();
        assert!(!storage.fetch_records().unwrap(), "there is no run yet");
        let write = |name: &str, text: &str| std::fs::write(run.folder.path().join(name), text).unwrap();
        write("run.json", "{}");
        write("reports.jsonl", "one\n");
        storage.store_records().unwrap();
        write("reports.jsonl", "one\ntwo\n");
        // A commit takes the reports along that it counts.
        run.checkpoint(1);
        let folder = tempfile::tempdir().unwrap();
        let there = run.reopened(&backend, folder.path());
        std::fs::write(folder.path().join("outcome.json"), "of another run").unwrap();
        assert!(there.fetch_records().unwrap());
        assert_eq!(std::fs::read_to_string(folder.path().join("reports.jsonl")).unwrap(), "one\ntwo\n");
        assert!(!folder.path().join("outcome.json").exists());
    }
}
