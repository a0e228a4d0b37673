//! Faults that a test asks for through the environment, so that a run's config stays the same with and without them.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, getppid, kill_process};
use serde::{Deserialize, Serialize};

/// The variable that holds a JSON list of [`Fault`]s.
pub const FAULTS: &str = "TRAINLOOP_TEST_FAULTS";

/// The variable that holds a name for all starts of a job by its engine: each fault then happens once in all of them.
pub const JOB: &str = "TRAINLOOP_TEST_JOB";

/// One fault of one rank. Each happens once in the life of a driver, whatever is started again.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct Fault {
    /// On which rank.
    pub rank: usize,
    /// When.
    pub at: Moment,
    /// What.
    pub act: Act,
}

/// A moment of a loop on one rank.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the backward pass of that step, before it is counted.
    Step(u64),
    /// Every step from that one on; happens again and again.
    From(u64),
    /// While the state is being saved that has seen so many steps.
    Save(u64),
    /// After the last step of that epoch, counted from 1.
    Epoch(u64),
    /// After that report.
    Report(u64),
}

/// What happens.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL to the worker itself.
    KillWorker,
    /// SIGKILL to the driver; the worker waits for its own end.
    KillDriver,
    /// SIGKILL to both.
    KillBoth,
    /// A signal to the driver, by its number; the worker goes on.
    Signal(i32),
    /// Makes the file `paused-RANK` and waits for the file `go`.
    Pause,
    /// Takes so many milliseconds more.
    Slow(u64),
    /// An error of the loop.
    Error(String),
}

/// The faults of this process.
#[derive(Debug, Clone)]
pub struct Faults {
    own: Vec<(usize, Fault)>,
    in_process: bool,
}

impl Faults {
    /// Those that the environment has for `rank`.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn of_rank(rank: usize) -> io::Result<Self> {
        let text = std::env::var(FAULTS).unwrap_or_else(|_| "[]".to_owned());
        let all: Vec<Fault> = serde_json::from_str(&text)?;
        let own = all.into_iter().enumerate().filter(|(_, fault)| fault.rank == rank).collect();
        Ok(Self { own, in_process: std::env::var_os("TRAINLOOP_WORKER").is_none() })
    }

    /// Does what is to happen at this moment.
    ///
    /// # Errors
    /// [`Act::Error`].
    pub fn at(&self, moment: Moment) -> io::Result<()> {
        for (number, fault) in &self.own {
            let happens = match (fault.at, moment) {
                (Moment::From(first), Moment::Step(step)) => step >= first,
                (at, moment) => at == moment && self.is_first(*number),
            };
            if happens {
                self.happen(fault)?;
            }
        }
        Ok(())
    }

    fn driver(&self) -> Option<rustix::process::Pid> {
        if self.in_process { Some(getpid()) } else { getppid() }
    }

    fn is_first(&self, number: usize) -> bool {
        let driver = || self.driver().map_or(0, |pid| pid.as_raw_nonzero().get()).to_string();
        let life = std::env::var(JOB).unwrap_or_else(|_| driver());
        File::create_new(format!("fault-{number}-of-{life}")).is_ok()
    }

    fn happen(&self, fault: &Fault) -> io::Result<()> {
        let kill_driver = |signal| self.driver().map_or(Ok(()), |pid| kill_process(pid, signal));
        match &fault.act {
            Act::KillWorker => kill_process(getpid(), Signal::KILL)?,
            Act::KillDriver => {
                kill_driver(Signal::KILL)?;
                thread::sleep(Duration::from_secs(1000));
            }
            Act::KillBoth => {
                kill_driver(Signal::KILL)?;
                kill_process(getpid(), Signal::KILL)?;
            }
            Act::Signal(number) => {
                let signal = if *number == 2 { Signal::INT } else { Signal::TERM };
                kill_driver(signal)?;
            }
            Act::Pause => {
                fs::write(format!("paused-{}", fault.rank), "")?;
                await_file(Path::new("go"));
            }
            Act::Slow(milliseconds) => thread::sleep(Duration::from_millis(*milliseconds)),
            Act::Error(words) => return Err(io::Error::other(words.clone())),
        }
        Ok(())
    }
}

/// There is no event for a file that another process makes.
pub fn await_file(path: &Path) {
    while !path.exists() {
        thread::sleep(Duration::from_millis(1));
    }
}
