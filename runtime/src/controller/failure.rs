//! Why a run failed, and which rank's failure is the cause of the others'.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::activity::{RankActivity, at_odds, behind};
use crate::trainer::Unfinished;

/// Why a run failed: the rank that failed first, with its error and the end of its log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunFailure {
    /// The rank that failed first.
    pub rank: usize,
    /// In what way.
    pub kind: FailureKind,
    /// The group's number in the run's folder, from 1.
    pub generation: u64,
    /// How many steps `ctx.step` had counted on that rank, as far as it had said so.
    pub steps: u64,
    /// How many reports the rank had made.
    pub reports: u64,
    /// It had not begun its loop: a failure of the start.
    pub in_start: bool,
    /// The other ranks that failed with the very same error.
    pub also: Vec<usize>,
    /// The ranks whose failure followed from this one, such as by a collective with a peer gone.
    pub consequences: Vec<usize>,
    /// What each rank last did.
    pub activity: Vec<RankActivity>,
    /// That of the panic or the error, where `RUST_BACKTRACE` asks for it and the error has one, as `anyhow`'s have.
    pub backtrace: Option<String>,
    /// Why the group was not started again, where [`FailureConfig`](crate::trainer::FailureConfig) allows it to be.
    pub not_restarted: Option<String>,
    /// The last lines that the rank printed.
    pub log_tail: Vec<String>,
    /// Everything it printed.
    pub log: PathBuf,
    pub(crate) outcome: Option<Arc<Unfinished>>,
}

/// In what way a rank failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// Its loop returned an error.
    Error(String),
    /// Its loop panicked.
    Panic {
        /// The panic's words.
        message: String,
        /// File and line.
        location: String,
    },
    /// A signal ended the process: 9 is SIGKILL, as by the kernel when memory is short.
    Signal(i32),
    /// The process ended by itself, without a word, with this exit code.
    Exit(i32),
    /// The connection to its process, which an engine has started, has ended before its loop returned.
    CutOff,
    /// Its channel to the driver was shut while its process went on.
    ChannelClosed,
    /// It never joined.
    NotStarted,
    /// Nothing was heard of its process for so long, not even the heartbeats, which do not depend on its loop.
    Silent(Duration),
    /// It has made no report for so long.
    Late(Duration),
    /// The ranks were in different collectives, and waited for each other until one of them said this.
    Desynchronised(String),
    /// It returned while other ranks went on.
    ReturnedEarly,
    /// It did not come to a collective, and a rank that waited there said this.
    MissedCollective(String),
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(message) => write!(f, "failed: {message}"),
            Self::Panic { message, location } => write!(f, "panicked at {location}: {message}"),
            Self::Signal(9) => {
                f.write_str("was killed by signal 9 (SIGKILL); where nobody sent it, the system ran out of memory")
            }
            Self::Signal(signal) => write!(f, "was ended by signal {signal} ({})", signal_name(*signal)),
            Self::Exit(code) => write!(f, "ended by itself with exit code {code}, before its loop returned"),
            Self::CutOff => f.write_str(
                "was cut off before its loop returned: its process has ended, or its machine, or the network between; the \
                 engine that started it has what it printed",
            ),
            Self::ChannelClosed => f.write_str(
                "shut its channel to the driver while its process went on; does something in it shut down sockets that it did not \
                 open?",
            ),
            Self::NotStarted => f.write_str("did not join in time"),
            Self::Silent(time) => write!(
                f,
                "was not heard of for {time:?}: its process is stopped or its machine is overloaded (the heartbeat's timeout \
                 is `ScalingConfig::heartbeat`)"
            ),
            Self::Late(time) => {
                write!(f, "made no report for {time:?}, which is the report timeout (`ScalingConfig::report_timeout`)")
            }
            Self::Desynchronised(waiting) => write!(
                f,
                "was in another collective than its peers; every rank takes part in the same collectives, in the same order\n  \
                 {waiting}"
            ),
            Self::MissedCollective(waiting) => write!(
                f,
                "did not come to a collective in which other ranks waited; every rank takes part in the same collectives, \
                 within the collective timeout\n  {waiting}"
            ),
            Self::ReturnedEarly => f.write_str(
                "returned from the loop while other ranks went on; every rank takes the same steps and makes the same reports",
            ),
        }
    }
}

impl FailureKind {
    /// The loop's own doing, which it will do again from the same place. A signal, or a process that vanished, may not come
    /// again.
    pub(crate) fn is_of_the_loop(&self) -> bool {
        matches!(self, Self::Error(_) | Self::Panic { .. })
    }

    /// It is about what ranks did not do, so what each did is worth a look.
    fn is_of_the_group(&self) -> bool {
        matches!(
            self,
            Self::Silent(_) | Self::Late(_) | Self::MissedCollective(_) | Self::ReturnedEarly | Self::Desynchronised(_)
        )
    }
}

impl fmt::Display for RunFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} {}", self.rank, self.kind)?;
        let mut place = Vec::new();
        if self.generation > 1 {
            place.push(format!("in generation {}", self.generation));
        }
        if self.in_start && self.kind != FailureKind::NotStarted {
            place.push("before its loop began".to_owned());
        }
        if self.steps > 0 {
            place.push(format!("at step {}", self.steps));
        }
        match self.reports {
            0 => {}
            1 => place.push("after 1 report".to_owned()),
            reports => place.push(format!("after {reports} reports")),
        }
        if !place.is_empty() {
            write!(f, "\n  {}", place.join(", "))?;
        }
        if !self.also.is_empty() {
            write!(f, "\n  {} failed with the same error", ranks(&self.also))?;
        }
        if let Some(backtrace) = &self.backtrace {
            f.write_str("\n  backtrace:")?;
            for line in backtrace.lines() {
                write!(f, "\n    {line}")?;
            }
        }
        if !self.log_tail.is_empty() {
            write!(f, "\n  the end of {}:", self.log.display())?;
            for line in &self.log_tail {
                write!(f, "\n    | {line}")?;
            }
        }
        // What followed from it comes last.
        if !self.consequences.is_empty() {
            write!(f, "\n  the collectives of {} failed in consequence", ranks(&self.consequences))?;
        }
        if self.kind.is_of_the_group() && self.activity.len() > 1 {
            f.write_str("\n  what each rank last did:")?;
            for rank in &self.activity {
                write!(f, "\n    {rank}")?;
            }
        }
        match &self.not_restarted {
            Some(why) => write!(f, "\n  the group was not started again: {why}"),
            None => Ok(()),
        }
    }
}

impl RunFailure {
    /// The rank and what it said, without where, and without its log.
    pub(crate) fn in_one_line(&self) -> String {
        let text = format!("rank {} {}", self.rank, self.kind);
        text.lines().next().unwrap_or_default().to_owned()
    }
}

fn ranks(ranks: &[usize]) -> String {
    let ranks: Vec<String> = ranks.iter().map(|rank| format!("rank {rank}")).collect();
    ranks.join(", ")
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => "see `kill -l`",
    }
}

/// One rank's failure as the controller saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) rank: usize,
    pub(super) kind: FailureKind,
    /// It looks like the consequence of a peer's end.
    pub(super) peer_failure: bool,
    pub(super) reports: u64,
    /// It had not begun its loop.
    pub(super) in_start: bool,
    pub(super) backtrace: Option<String>,
}

impl Seen {
    /// The very same failure on another rank.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.rank != other.rank && self.kind == other.kind && self.kind.is_of_the_loop()
    }
}

/// A rank and how many reports it had made.
pub(super) type Place = (usize, u64);

/// The failure that the others follow from: the first that is no consequence. Where all are, the ranks that returned early
/// broke the group, or else those that still ran when the controller ended it kept the others waiting; where there are
/// neither, the ranks have missed each other, if they were in different collectives; otherwise the first seen.
pub(super) fn cause(seen: &[Seen], returned: &[Place], still_ran: &[Place], activity: &[RankActivity]) -> Option<Seen> {
    if let Some(own) = seen.iter().find(|failure| !failure.peer_failure) {
        return Some(own.clone());
    }
    let first = seen.first()?;
    let (&(rank, reports), kind) = match (returned, still_ran) {
        ([place, ..], _) => (place, FailureKind::ReturnedEarly),
        ([], [place, ..]) => (place, FailureKind::MissedCollective(format!("rank {} {}", first.rank, first.kind))),
        ([], []) => match behind(activity).filter(|_| at_odds(activity)) {
            Some(rank) => {
                let failure = seen.iter().find(|failure| failure.rank == rank).unwrap_or(first);
                let kind = FailureKind::Desynchronised(format!("rank {} {}", failure.rank, failure.kind));
                return Some(Seen { kind, peer_failure: false, ..failure.clone() });
            }
            None => return Some(first.clone()),
        },
    };
    Some(Seen { rank, kind, peer_failure: false, reports, in_start: false, backtrace: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rank: usize, peer_failure: bool) -> Seen {
        let kind = FailureKind::Error(format!("error of {rank}"));
        Seen { rank, kind, peer_failure, reports: 0, in_start: false, backtrace: None }
    }

    #[test]
    fn a_broken_pipe_never_hides_what_broke_it() {
        type Case<'a> = (&'a [Seen], &'a [Place], &'a [Place], usize);
        let cases: [Case<'_>; 6] = [
            (&[seen(0, true), seen(2, true), seen(1, false)], &[], &[], 1),
            (&[seen(2, false), seen(1, false)], &[], &[(0, 0)], 2),
            (&[seen(1, true), seen(2, true)], &[], &[], 1),
            (&[seen(1, true)], &[(0, 3)], &[], 0),
            (&[seen(1, true)], &[(0, 3)], &[(2, 3)], 0),
            (&[seen(1, true), seen(0, true)], &[], &[(2, 3)], 2),
        ];
        for (failures, returned, still_ran, expected) in cases {
            assert_eq!(cause(failures, returned, still_ran, &[]).unwrap().rank, expected);
        }
        assert!(cause(&[], &[(0, 1)], &[(1, 1)], &[]).is_none());
    }
}
