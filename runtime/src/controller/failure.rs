//! Why a run failed, and which rank's failure is the cause of the others'.

use std::fmt;
use std::path::PathBuf;

/// Why a run failed: the rank that failed first, with its error and the end of its log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunFailure {
    /// The rank that failed first.
    pub rank: usize,
    /// In what way.
    pub kind: FailureKind,
    /// How many reports the rank had made.
    pub reports: u64,
    /// The ranks whose failure followed from this one, such as by a collective with a peer gone.
    pub consequences: Vec<usize>,
    /// The last lines that the rank printed.
    pub log_tail: Vec<String>,
    /// Everything it printed.
    pub log: PathBuf,
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
    /// It never joined.
    NotStarted,
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
            Self::NotStarted => f.write_str("did not join in time"),
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

impl fmt::Display for RunFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} {}", self.rank, self.kind)?;
        match self.reports {
            0 => {}
            1 => f.write_str("\n  after 1 report")?,
            reports => write!(f, "\n  after {reports} reports")?,
        }
        if !self.consequences.is_empty() {
            let ranks: Vec<String> = self.consequences.iter().map(|rank| format!("rank {rank}")).collect();
            write!(f, "\n  the collectives of {} failed in consequence", ranks.join(", "))?;
        }
        if self.log_tail.is_empty() {
            return Ok(());
        }
        write!(f, "\n  the end of {}:", self.log.display())?;
        for line in &self.log_tail {
            write!(f, "\n    | {line}")?;
        }
        Ok(())
    }
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
}

/// A rank and how many reports it had made.
pub(super) type Place = (usize, u64);

/// The failure that the others follow from: the first that is no consequence. Where all are, the ranks that returned early
/// broke the group, or else those that still ran when the controller ended it kept the others waiting; where there are
/// neither, the first seen.
pub(super) fn cause(seen: &[Seen], returned: &[Place], still_ran: &[Place]) -> Option<Seen> {
    if let Some(own) = seen.iter().find(|failure| !failure.peer_failure) {
        return Some(own.clone());
    }
    let first = seen.first()?;
    let (&(rank, reports), kind) = match (returned, still_ran) {
        ([place, ..], _) => (place, FailureKind::ReturnedEarly),
        ([], [place, ..]) => (place, FailureKind::MissedCollective(format!("rank {} {}", first.rank, first.kind))),
        ([], []) => return Some(first.clone()),
    };
    Some(Seen { rank, kind, peer_failure: false, reports })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rank: usize, peer_failure: bool) -> Seen {
        Seen { rank, kind: FailureKind::Error(format!("error of {rank}")), peer_failure, reports: 0 }
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
            assert_eq!(cause(failures, returned, still_ran).unwrap().rank, expected);
        }
        assert!(cause(&[], &[(0, 1)], &[(1, 1)]).is_none());
    }
}
