//! Ranks as processes: the test binary again, with the rank in the environment.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const RANK: &str = "TRAINLOOP_TEST_RANK";
const FOLDER: &str = "TRAINLOOP_TEST_FOLDER";

/// Starts rank `rank` of `test`.
pub(crate) fn start(test: &str, rank: usize, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(RANK, rank.to_string())
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// This process's rank and the group's folder, if it is a rank.
pub(crate) fn place() -> Option<(usize, PathBuf)> {
    Some((std::env::var(RANK).ok()?.parse().unwrap(), std::env::var_os(FOLDER)?.into()))
}

/// Runs `test` as so many ranks, and gives how each ended.
pub(crate) fn run(test: &str, world_size: usize) -> Vec<Output> {
    let parent = tempfile::tempdir().unwrap();
    // Named for the ranks to know how many they are.
    let folder = parent.path().join(world_size.to_string());
    std::fs::create_dir(&folder).unwrap();
    let ranks: Vec<Child> = (0..world_size).map(|rank| start(test, rank, &folder)).collect();
    ranks.into_iter().map(|rank| rank.wait_with_output().unwrap()).collect()
}

pub(crate) fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{}: {text}", output.status);
}

/// SIGKILL, at once.
pub(crate) fn kill_myself() -> ! {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    unreachable!("SIGKILL ends a process");
}
