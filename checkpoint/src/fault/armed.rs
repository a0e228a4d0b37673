//! What happens at the points: as the environment says, or, in a test of this crate, as its thread says.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, getppid, kill_process};

use super::{Operation, POINTS, Point};

const FAULT: &str = "TRAINLOOP_FAULT";
const LOG: &str = "TRAINLOOP_FAULT_LOG";
const GATE: &str = "TRAINLOOP_FAULT_GATE";

/// What is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// `kill`: SIGKILL to this process.
    Kill,
    /// `kill-parent`: SIGKILL to the parent, which is a worker's driver; this process goes on.
    KillParent,
    /// `kill-both`: both, the parent first.
    KillBoth,
    /// `hold`: waits for the file that `TRAINLOOP_FAULT_GATE` names, and goes on.
    Hold,
    /// `release`: makes that file, and goes on.
    Release,
    /// `full`: the disk is full. What is removed needs no room.
    Full,
    /// `eio`: the disk fails.
    Eio,
    /// `readonly`: the disk is read-only.
    ReadOnly,
}

const ACTIONS: [(&str, Action); 8] = [
    ("kill", Action::Kill),
    ("kill-parent", Action::KillParent),
    ("kill-both", Action::KillBoth),
    ("hold", Action::Hold),
    ("release", Action::Release),
    ("full", Action::Full),
    ("eio", Action::Eio),
    ("readonly", Action::ReadOnly),
];

impl Action {
    fn errno(self) -> Option<Errno> {
        match self {
            Self::Kill | Self::KillParent | Self::KillBoth | Self::Hold | Self::Release => None,
            Self::Full => Some(Errno::NOSPC),
            Self::Eio => Some(Errno::IO),
            Self::ReadOnly => Some(Errno::ROFS),
        }
    }

    fn can_happen(self, operation: Operation) -> bool {
        match self {
            Self::Kill | Self::KillParent | Self::KillBoth | Self::Hold | Self::Release => true,
            Self::Full => !matches!(operation, Operation::Step | Operation::Remove | Operation::Cut),
            Self::Eio | Self::ReadOnly => operation != Operation::Step,
        }
    }
}

/// One entry of the variable.
#[derive(Debug)]
struct Fault {
    /// `None` is `*`: every operation on the disk at which the action can happen.
    point: Option<Point>,
    action: Action,
    when: When,
    rank: Option<usize>,
    passed: u64,
}

/// At which passings of its point it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// At this one.
    At(u64),
    /// At this one and all that follow.
    From(u64),
    /// While the gate's file is there.
    Gate,
}

impl When {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "gate" {
            return Ok(Self::Gate);
        }
        let number = text.trim_end_matches('+').parse().map_err(|_| "behind `@` comes a number, or `gate`")?;
        Ok(if text.ends_with('+') { Self::From(number) } else { Self::At(number) })
    }
}

impl Fault {
    fn parse(text: &str) -> Result<Self, String> {
        let (text, rank) = match text.trim().split_once(' ') {
            Some((text, rank)) => {
                let rank = rank.trim().strip_prefix("rank=").and_then(|rank| rank.parse().ok());
                (text, Some(rank.ok_or("behind a space comes `rank=` and a number")?))
            }
            None => (text.trim(), None),
        };
        let (point, action) = text.split_once('=').ok_or("it has no `=`")?;
        let (action, at) = action.split_once('@').unwrap_or((action, "1"));
        let when = When::parse(at)?;
        let (_, action) = *ACTIONS.iter().find(|(name, _)| *name == action).ok_or("there is no such action")?;
        let point = match point {
            "*" => None,
            name => Some(*POINTS.iter().find(|point| point.name == name).ok_or("there is no such point")?),
        };
        if point.is_some_and(|point| !action.can_happen(point.operation)) {
            return Err("that cannot happen there".to_owned());
        }
        Ok(Self { point, action, when, rank, passed: 0 })
    }

    /// Counts a passing; true where it is to happen now.
    fn passes(&mut self, point: Point) -> bool {
        let is_meant = match self.point {
            Some(own) => own == point,
            None => point.operation != Operation::Step && self.action.can_happen(point.operation),
        };
        if !is_meant || self.rank.is_some_and(|rank| rank != RANK.load(Ordering::Relaxed)) {
            return false;
        }
        self.passed += 1;
        match self.when {
            When::At(passing) => self.passed == passing,
            When::From(passing) => self.passed >= passing,
            When::Gate => is_at_gate(point),
        }
    }
}

fn parse(text: &str) -> Result<Vec<Fault>, String> {
    let entries = text.split(',').filter(|entry| !entry.trim().is_empty());
    entries.map(|entry| Fault::parse(entry).map_err(|reason| format!("`{entry}`: {reason}"))).collect()
}

/// A number that no rank has.
static RANK: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Tells which worker this process is.
pub fn set_rank(rank: usize) {
    RANK.store(rank, Ordering::Relaxed);
}

/// Those of the environment.
static FAULTS: LazyLock<Mutex<Vec<Fault>>> = LazyLock::new(|| {
    let text = std::env::var(FAULT).unwrap_or_default();
    Mutex::new(parse(&text).unwrap_or_else(|reason| {
        // A test that is misspelt would pass for the wrong reason.
        eprintln!("error: {FAULT}: {reason}");
        std::process::exit(2)
    }))
});

/// Something is to happen at this passing of a point.
#[derive(Debug)]
pub(crate) struct Strike {
    point: Point,
    action: Action,
}

/// Passes a point.
pub(crate) fn strike(point: Point) -> Option<Strike> {
    #[cfg(test)]
    {
        let mut strike = None;
        if scope::passes(point, &mut strike) {
            return strike;
        }
    }
    let strike = strikes(&mut FAULTS.lock().unwrap_or_else(PoisonError::into_inner), point)?;
    match strike.action {
        Action::KillParent => {
            strike.note();
            kill(getppid());
        }
        Action::Hold => {
            strike.note();
            while !gate().exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Action::Release => {
            strike.note();
            if let Err(error) = File::create(gate()) {
                eprintln!("error: {GATE}: {error}");
            }
        }
        _ => return Some(strike),
    }
    None
}

fn gate() -> PathBuf {
    std::env::var_os(GATE).unwrap_or_default().into()
}

/// The gate's file is there, and names this point or none.
fn is_at_gate(point: Point) -> bool {
    fs::read_to_string(gate()).is_ok_and(|named| named.is_empty() || named.trim() == point.name)
}

fn strikes(faults: &mut [Fault], point: Point) -> Option<Strike> {
    // Every entry counts, though only one can happen.
    let happening: Vec<_> = faults.iter_mut().filter_map(|fault| fault.passes(point).then_some(fault.action)).collect();
    happening.first().map(|&action| Strike { point, action })
}

impl Strike {
    /// Ends the process, or gives the disk's error.
    pub(crate) fn happen(self) -> io::Error {
        self.note();
        if let Some(errno) = self.action.errno() {
            return errno.into();
        }
        if self.action == Action::KillBoth {
            kill(getppid());
        }
        kill(Some(getpid()));
        io::Error::other("a process outlived its own end")
    }

    fn note(&self) {
        let Some(path) = std::env::var_os(LOG) else { return };
        let line = format!("{} {:?}\n", self.point.name, self.action);
        let noted =
            File::options().create(true).append(true).open(path).and_then(|mut log| log.write_all(line.as_bytes()));
        if let Err(error) = noted {
            eprintln!("error: {LOG}: {error}");
        }
    }
}

fn kill(pid: Option<Pid>) {
    if let Some(Err(error)) = pid.map(|pid| kill_process(pid, Signal::KILL)) {
        eprintln!("error: {FAULT}: {error}");
    }
}

#[cfg(test)]
pub(crate) use scope::inject;

#[cfg(test)]
mod scope {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::{Fault, Point, Strike, parse, strikes};

    thread_local! {
        static HERE: RefCell<Option<Rc<RefCell<Injected>>>> = const { RefCell::new(None) };
    }

    /// What a thread's points do, instead of what the environment says, and which were passed.
    struct Injected {
        faults: Vec<Fault>,
        passed: Vec<Point>,
        happened: Vec<Point>,
    }

    /// Until it is dropped, this thread's faults are those given.
    pub(crate) struct Scope(Rc<RefCell<Injected>>);

    /// Faults for the points that this thread passes.
    pub(crate) fn inject(faults: &str) -> Scope {
        let faults = parse(faults).unwrap();
        let injected = Rc::new(RefCell::new(Injected { faults, passed: Vec::new(), happened: Vec::new() }));
        assert!(HERE.replace(Some(Rc::clone(&injected))).is_none(), "one scope at a time");
        Scope(injected)
    }

    impl Scope {
        /// The points passed so far, in order.
        pub(crate) fn passed(&self) -> Vec<Point> {
            self.0.borrow().passed.clone()
        }

        /// Where a fault has happened.
        pub(crate) fn happened(&self) -> Vec<Point> {
            self.0.borrow().happened.clone()
        }
    }

    impl Drop for Scope {
        fn drop(&mut self) {
            HERE.take();
        }
    }

    /// True where this thread has faults of its own; then `strike` is what they say.
    pub(super) fn passes(point: Point, strike: &mut Option<Strike>) -> bool {
        let here = HERE.with_borrow(Clone::clone);
        let Some(here) = &here else { return false };
        let mut here = here.borrow_mut();
        here.passed.push(point);
        *strike = strikes(&mut here.faults, point);
        here.happened.extend(strike.as_ref().map(|_| point));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{COMMIT_CHECK, COMMIT_RENAME, JOURNAL_WRITE, STAGE_REMOVE, operation};

    #[test]
    fn a_fault_comes_at_its_passing() {
        let scope = inject("commit/rename=eio@2, journal/write=full@2+");
        let fails = |point| operation(point).err().map(|error| error.kind());
        let full = Some(io::ErrorKind::StorageFull);
        assert!(fails(COMMIT_RENAME).is_none() && fails(COMMIT_RENAME).is_some() && fails(COMMIT_RENAME).is_none());
        assert_eq!([(); 3].map(|()| fails(JOURNAL_WRITE)), [None, full, full]);
        assert_eq!(scope.happened(), [COMMIT_RENAME, JOURNAL_WRITE, JOURNAL_WRITE]);
        assert_eq!(scope.passed().len(), 6);
    }

    #[test]
    fn every_operation_is_meant_by_a_star_at_which_it_can_happen() {
        let scope = inject("*=full@2");
        operation(STAGE_REMOVE).unwrap();
        operation(COMMIT_CHECK).unwrap();
        operation(COMMIT_RENAME).unwrap();
        operation(COMMIT_RENAME).unwrap_err();
        assert_eq!(scope.happened(), [COMMIT_RENAME]);
    }

    #[test]
    fn a_fault_of_another_rank_does_not_come() {
        let _scope = inject("commit/rename=eio rank=1");
        operation(COMMIT_RENAME).unwrap();
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let cases = [
            ("commit/rename", "no `=`"),
            ("commit/renames=kill", "no such point"),
            ("commit/rename=killl", "no such action"),
            ("commit/rename=kill@x", "a number"),
            ("commit/rename=kill ranks=1", "`rank=`"),
            ("commit/check=eio", "cannot happen there"),
            ("stage/remove=full", "cannot happen there"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(text) && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn no_name_stands_for_two_points() {
        let mut names: Vec<_> = POINTS.iter().map(Point::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), POINTS.len());
    }
}
