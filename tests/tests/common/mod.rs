//! Programs under test as child processes: with a deadline, with their output as it comes, and with nothing left of them.

#![allow(dead_code)] // each test file uses a part

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use trainloop_tests::scenario::{Act, Scenario};

/// Nothing here takes so long, even on a loaded machine; what does hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Every process under test has it in its environment, with the test's folder.
const TAG: &str = "TRAINLOOP_TEST";

/// A folder of one test's own, and the processes that belong to it.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn storage(&self) -> PathBuf {
        self.path().join("runs")
    }

    /// A program that is known to the sandbox; not started yet.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        // Backtraces would be in every log tail where the tests are run with them.
        command.env(TAG, self.path()).env_remove("RUST_BACKTRACE").current_dir(self.path());
        command
    }

    /// The program `scenario` with these acts on each rank.
    pub(crate) fn scenario(&self, name: &str, ranks: &[Vec<Act>]) -> Running {
        self.scenario_with(name, ranks, |_| {})
    }

    pub(crate) fn scenario_with(&self, name: &str, ranks: &[Vec<Act>], change: impl FnOnce(&mut Scenario)) -> Running {
        Running::start(self.scenario_command(name, ranks, change))
    }

    pub(crate) fn scenario_command(
        &self,
        name: &str,
        ranks: &[Vec<Act>],
        change: impl FnOnce(&mut Scenario),
    ) -> Command {
        let mut scenario = Scenario {
            name: name.to_owned(),
            storage: self.storage(),
            ranks: ranks.to_vec(),
            collective_timeout_seconds: 600,
            heartbeat: None,
            report_timeout: None,
            progress: false,
            verbosity: None,
            again: None,
        };
        change(&mut scenario);
        let mut command = self.command(env!("CARGO_BIN_EXE_scenario"));
        command.arg(serde_json::to_string(&scenario).unwrap());
        command
    }

    /// Every process of this sandbox that lives, whoever started it: a zombie has no environment.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let tag = format!("{TAG}={}", self.path().display());
        let tagged = |pid: &i32| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == tag.as_bytes()))
        };
        let pids = std::fs::read_dir("/proc").unwrap().flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(tagged).collect()
    }

    /// The worker of that rank.
    #[track_caller]
    pub(crate) fn pid_of_rank(&self, rank: usize) -> i32 {
        self.processes().into_iter().find(|pid| invitation(*pid).is_some_and(|(invited, _)| invited == rank)).unwrap()
    }

    /// What the driver has told the worker of that rank, once it is there.
    pub(crate) fn invitation(&self, rank: usize) -> Option<String> {
        let mut invitations = self.processes().into_iter().filter_map(invitation);
        invitations.find_map(|(invited, text)| (invited == rank).then_some(text))
    }

    /// Nothing that the test has started lives.
    #[track_caller]
    pub(crate) fn assert_no_process(&self) {
        let left = self.processes();
        assert!(left.is_empty(), "processes are left: {:?}", left.iter().map(|pid| command_line(*pid)));
    }

    /// For processes that the kernel ends without anybody waiting for them.
    #[track_caller]
    pub(crate) fn await_no_process(&self) {
        await_that("all processes are gone", || self.processes().is_empty());
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for pid in self.processes() {
            kill(pid, Signal::KILL);
        }
    }
}

/// Asks until `condition` holds, for what gives no event, such as the list of processes.
#[track_caller]
pub(crate) fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "not in {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// A worker's invitation, from its environment, which begins with its rank.
fn invitation(pid: i32) -> Option<(usize, String)> {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let environ = String::from_utf8(environ).ok()?;
    let text = environ.split('\0').find_map(|entry| entry.strip_prefix("TRAINLOOP_WORKER="))?;
    Some((text.split(':').next()?.parse().ok()?, text.to_owned()))
}

fn command_line(pid: i32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("{pid}: {}", String::from_utf8_lossy(&line).replace('\0', " "))
}

/// A program that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<(Pipe, String)>,
    seen: Vec<(Pipe, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pipe {
    Stdout,
    Stderr,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        read_lines(Pipe::Stdout, child.stdout.take().unwrap(), sender.clone());
        read_lines(Pipe::Stderr, child.stderr.take().unwrap(), sender);
        Self { child, lines, seen: Vec::new() }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// Waits until a line holds all these words, each in a line of its own or not.
    #[track_caller]
    pub(crate) fn await_lines(&mut self, words: &[&str]) {
        let deadline = Instant::now() + DEADLINE;
        for words in words {
            while !self.seen.iter().any(|(_, line)| line.contains(words)) {
                match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(line) => self.seen.push(line),
                    Err(error) => panic!("no line with {words:?} came ({error}); these did: {:#?}", self.seen),
                }
            }
        }
    }

    /// Waits for the end; kills the program where it does not come.
    #[track_caller]
    pub(crate) fn end(self) -> Ended {
        self.end_within(DEADLINE)
    }

    #[track_caller]
    pub(crate) fn end_within(mut self, limit: Duration) -> Ended {
        let deadline = Instant::now() + limit;
        let mut hangs = false;
        // The lines end when the last process that holds the pipes does.
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    hangs = true;
                    let _ = self.child.kill();
                    break;
                }
            }
        }
        let status = self.child.wait().unwrap();
        let ended = Ended { code: status.code(), stdout: self.text(Pipe::Stdout), stderr: self.text(Pipe::Stderr) };
        assert!(!hangs, "the program did not end in {limit:?}: {ended:#?}");
        ended
    }

    fn text(&self, pipe: Pipe) -> String {
        let mut text = String::new();
        for (_, line) in self.seen.iter().filter(|(from, _)| *from == pipe) {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(pipe: Pipe, reader: impl Read + Send + 'static, lines: Sender<(Pipe, String)>) {
    thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n') {
            let Ok(line) = line else { break };
            if lines.send((pipe, String::from_utf8_lossy(&line).into_owned())).is_err() {
                break;
            }
        }
    });
}

impl Ended {
    /// The last line of standard output, which is a JSON object.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// The JSON objects of a file, one in each line.
#[track_caller]
pub(crate) fn json_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// An example's program. Examples of another package have no `CARGO_BIN_EXE_…`; cargo builds it where it is not fresh, and says
/// where it lies. With the whole workspace named, dependencies have the features that `cargo test --workspace` has built
/// already.
pub(crate) fn example(name: &str) -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(workspace()).args(["build", "--workspace", "--example", name]);
    build.args(["--message-format", "json"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let output = build.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let executable = |message: Value| Some(PathBuf::from(message["executable"].as_str()?));
    messages.filter_map(executable).find(|path| path.file_stem() == Some(OsStr::new(name))).unwrap()
}
