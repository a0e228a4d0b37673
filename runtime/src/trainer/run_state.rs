//! Where a run is in its life: which states there are, which may follow which, and the record of them.

use std::cell::Cell;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trainloop_checkpoint::unix_now;

use crate::error::{Error, Result};

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunState {
    /// The run's folder is open, and what a crash left in it is cleared away.
    Initializing,
    /// Workers are started and join.
    Scheduling,
    /// Every rank's loop has begun.
    Running,
    /// A rank has failed, no worker is left, and the group starts again.
    Restarting,
    /// The group goes on with another number of workers.
    Resizing,
    /// The loops have returned, or a signal asked them to save and stop.
    ShuttingDown,
    /// The loop returned on every rank, and the outcome is written.
    Finished,
    /// The run ended with the error that `fit` returns.
    Errored,
    /// A signal ended the run.
    Aborted,
}

impl RunState {
    /// True where nothing follows.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Errored | Self::Aborted)
    }

    /// True where `next` may follow.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use RunState::{
            Aborted, Errored, Finished, Initializing, Resizing, Restarting, Running, Scheduling, ShuttingDown,
        };
        // Whatever a run does, it can fail, and be ended by a signal.
        if matches!(next, Errored | Aborted) {
            return !self.is_terminal();
        }
        match self {
            Initializing => next == Scheduling,
            Scheduling => matches!(next, Running | Restarting | ShuttingDown),
            Running => matches!(next, Restarting | Resizing | ShuttingDown),
            Restarting => matches!(next, Scheduling | Resizing),
            Resizing => matches!(next, Scheduling | Restarting | ShuttingDown),
            ShuttingDown => next == Finished,
            Finished | Errored | Aborted => false,
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initializing => "initializing",
            Self::Scheduling => "scheduling",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Resizing => "resizing",
            Self::ShuttingDown => "shutting down",
            Self::Finished => "finished",
            Self::Errored => "errored",
            Self::Aborted => "aborted",
        })
    }
}

/// A step in a run's life: a line of its `states.jsonl`, and what `#[callback(state)]` is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StateChange {
    /// When, in seconds since 1970.
    pub unix_time: f64,
    /// The group's number in this run's folder, from 1.
    pub generation: u64,
    /// The state before; `None` where a call of `fit` begins.
    pub from: Option<RunState>,
    /// The state from now on.
    pub to: RunState,
    /// Why, in words.
    pub why: String,
    /// How many workers the group has; 1 with `workers(0)`.
    pub world_size: usize,
    /// The rank that is the reason, such as the one that failed.
    pub rank: Option<usize>,
}

impl StateChange {
    /// Every change in the life of the run in a folder, those of earlier calls of `fit` included, in their order.
    ///
    /// ```no_run
    /// # use trainloop::trainer::StateChange;
    /// for change in StateChange::of_run("runs/digits")? {
    ///     println!("generation {}: {} ({})", change.generation, change.to, change.why);
    /// }
    /// # Ok::<(), trainloop::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] where the folder's `states.jsonl` cannot be read, [`Error::Config`] where a line of it is damaged.
    pub fn of_run(folder: impl AsRef<Path>) -> Result<Vec<Self>> {
        let path = folder.as_ref().join(FILE);
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        // What has no line end was being written when its driver was killed.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().enumerate().map(|(number, line)| {
            serde_json::from_str(line)
                .map_err(|error| Error::config(format!("{} line {}: {error}", path.display(), number + 1)))
        });
        lines.collect()
    }
}

const FILE: &str = "states.jsonl";

/// Which group, and how large.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) generation: u64,
    pub(super) world_size: usize,
}

/// The state of one call of `fit`, and its record.
pub(super) struct States {
    path: PathBuf,
    current: Cell<Option<RunState>>,
}

impl States {
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE), current: Cell::new(None) }
    }

    pub(super) fn current(&self) -> Option<RunState> {
        self.current.get()
    }

    /// Goes over to `to`: logs and records it.
    pub(super) fn change(
        &self,
        to: RunState,
        group: Group,
        why: impl Into<String>,
        rank: Option<usize>,
    ) -> Result<StateChange> {
        let from = self.current.get();
        if !from.map_or(to == RunState::Initializing, |from| from.may_become(to)) {
            let from = from.map_or_else(|| "not begun".to_owned(), |from| from.to_string());
            return Err(Error::other(format!(
                "a run that is {from} cannot become {to}; this is a mistake of trainloop's"
            )));
        }
        self.current.set(Some(to));
        let Group { generation, world_size } = group;
        let change = StateChange { unix_time: unix_now(), generation, from, to, why: why.into(), world_size, rank };
        tracing::info!(generation, world_size, rank, why = change.why, "the run is {to}");
        self.append(&change)?;
        Ok(change)
    }

    fn append(&self, change: &StateChange) -> Result<()> {
        let mut line = serde_json::to_vec(change).map_err(|error| Error::serde("write a change of state", error))?;
        line.push(b'\n');
        let append = || -> std::io::Result<()> {
            let mut file = crate::controller::open_whole(&self.path)?;
            file.write_all(&line)
        };
        append().map_err(Error::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::RunState::{
        Aborted, Errored, Finished, Initializing, Resizing, Restarting, Running, Scheduling, ShuttingDown,
    };
    use super::*;

    const ALL: [RunState; 9] =
        [Initializing, Scheduling, Running, Restarting, Resizing, ShuttingDown, Finished, Errored, Aborted];
    const GROUP: Group = Group { generation: 1, world_size: 2 };

    /// Every pair: what is not in the table is refused.
    #[test]
    fn only_what_can_be_follows() {
        let table: [(RunState, &[RunState]); 9] = [
            (Initializing, &[Scheduling, Errored, Aborted]),
            (Scheduling, &[Running, Restarting, ShuttingDown, Errored, Aborted]),
            (Running, &[Restarting, Resizing, ShuttingDown, Errored, Aborted]),
            (Restarting, &[Scheduling, Resizing, Errored, Aborted]),
            (Resizing, &[Scheduling, Restarting, ShuttingDown, Errored, Aborted]),
            (ShuttingDown, &[Finished, Errored, Aborted]),
            (Finished, &[]),
            (Errored, &[]),
            (Aborted, &[]),
        ];
        for (from, allowed) in table {
            for to in ALL {
                assert_eq!(from.may_become(to), allowed.contains(&to), "{from} to {to}");
            }
            assert_eq!(from.is_terminal(), allowed.is_empty());
        }
    }

    #[test]
    fn changes_are_read_as_they_were_made() {
        let folder = tempfile::tempdir().unwrap();
        let states = States::new(folder.path());
        let refused = states.change(Running, GROUP, "too early", None).unwrap_err().to_string();
        assert!(refused.contains("not begun cannot become running"), "{refused}");
        let mut made = vec![
            states.change(Initializing, GROUP, "fit", None).unwrap(),
            states.change(Scheduling, GROUP, "2 workers", None).unwrap(),
        ];
        states.change(Finished, GROUP, "too early", None).unwrap_err();
        assert_eq!(states.current(), Some(Scheduling), "a change that was refused is none");
        made.push(states.change(Errored, GROUP, "rank 1 failed: a \"banana\"\n", Some(1)).unwrap());
        states.change(Restarting, GROUP, "too late", None).unwrap_err();
        assert_eq!(StateChange::of_run(folder.path()).unwrap(), made);

        // A driver was killed while it wrote a line; the next goes on after the last whole one.
        let path = folder.path().join(FILE);
        File::options().append(true).open(&path).unwrap().write_all(b"{\"unix_ti").unwrap();
        assert_eq!(StateChange::of_run(folder.path()).unwrap(), made);
        made.push(States::new(folder.path()).change(Initializing, GROUP, "fit", None).unwrap());
        assert_eq!(StateChange::of_run(folder.path()).unwrap(), made);

        std::fs::write(&path, "{}\n").unwrap();
        let damaged = StateChange::of_run(folder.path()).unwrap_err().to_string();
        assert!(damaged.contains("states.jsonl line 1"), "{damaged}");
    }
}
