//! Fault points: named places in the code at which a test can have the process killed, or the disk fail.
//!
//! Every operation on the disk by which this crate changes something passes a point, and so do the steps of a commit in the
//! crate above. They are compiled with the feature `fault-points` only; without it a point is nothing at all.
//!
//! `TRAINLOOP_FAULT` says what happens: `commit/rename=kill@3` at the third passing of that point, `@3+` from it on, without
//! `@` at the first, `@gate` while the file that `TRAINLOOP_FAULT_GATE` names is there and holds that point's name, or nothing.
//! Several are separated by commas. ` rank=1` behind one limits it to that worker. For the actions see `Action`. What has
//! happened is appended to the file that `TRAINLOOP_FAULT_LOG` names.
//!
//! It is public for the crate `trainloop` and its tests, and no part of what this crate promises.

#[cfg(any(test, feature = "fault-points"))]
mod armed;

#[cfg(test)]
pub(crate) use armed::inject;
#[cfg(any(test, feature = "fault-points"))]
pub use armed::set_rank;
#[cfg(any(test, feature = "fault-points"))]
pub(crate) use armed::strike;

/// What the code is about to do at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Make a folder, with its parents.
    MakeFolder,
    /// Create or open a file for writing.
    Create,
    /// Write some bytes. A fault comes in their middle.
    Write,
    /// Drop the end of a file.
    Cut,
    /// Flush a file.
    Flush,
    /// Flush a folder.
    FlushFolder,
    /// Give a folder another name.
    Rename,
    /// Remove a file or a folder. A fault comes when half of a folder is gone.
    Remove,
    /// Go on. Only an end of a process can happen here.
    Step,
}

/// A place in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    name: &'static str,
    operation: Operation,
}

impl Point {
    /// Its name, such as `commit/rename`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What is about to be done there.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }
}

macro_rules! points {
    ($($point:ident = $name:literal, $operation:ident;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $point: Point = Point { name: $name, operation: Operation::$operation };
        )*

        /// All of them.
        pub const POINTS: &[Point] = &[$($point),*];
    };
}

points! {
    STAGE_FOLDER = "stage/folder", MakeFolder;
    STAGE_CREATE = "stage/create", Create;
    STAGE_WRITE = "stage/write", Write;
    STAGE_FLUSH = "stage/flush", Flush;
    STAGE_REMOVE = "stage/remove", Remove;
    STAGE_FLUSH_FOLDER = "stage/flush-folder", FlushFolder;
    WORKER_BEFORE_LOOP = "worker/before-loop", Step;
    WORKER_MAKES_ROOM = "worker/makes-room", Step;
    WORKER_BEFORE_VOTE = "worker/before-vote", Step;
    WORKER_AFTER_VOTE = "worker/after-vote", Step;
    WORKER_AFTER_ANSWER = "worker/after-answer", Step;
    CONTROLLER_BEFORE_COMMIT = "controller/before-commit", Step;
    COMMIT_CHECK = "commit/check", Step;
    MANIFEST_CREATE = "manifest/create", Create;
    MANIFEST_WRITE = "manifest/write", Write;
    MANIFEST_FLUSH = "manifest/flush", Flush;
    COMMIT_FLUSH_FOLDER = "commit/flush-folder", FlushFolder;
    COMMIT_RENAME = "commit/rename", Rename;
    COMMIT_FLUSH_PARENT = "commit/flush-parent", FlushFolder;
    COMMIT_ABANDON = "commit/abandon", Remove;
    JOURNAL_OPEN = "journal/open", Create;
    JOURNAL_CUT = "journal/cut", Cut;
    JOURNAL_WRITE = "journal/write", Write;
    JOURNAL_FLUSH = "journal/flush", Flush;
    JOURNAL_UNDO = "journal/undo", Cut;
    JOURNAL_FLUSH_FOLDER = "journal/flush-folder", FlushFolder;
    CONTROLLER_AFTER_COMMIT = "controller/after-commit", Step;
    DELETE_CLEAR = "delete/clear", Remove;
    DELETE_RENAME = "delete/rename", Rename;
    DELETE_FLUSH_PARENT = "delete/flush-parent", FlushFolder;
    DELETE_REMOVE = "delete/remove", Remove;
    CONTROLLER_BEFORE_ANSWER = "controller/before-answer", Step;
    SWEEP_REMOVE = "sweep/remove", Remove;
}

/// Passes a step.
#[inline]
pub fn step(point: Point) {
    if let Some(strike) = strike(point) {
        // Only an end of the process is accepted at a step.
        let _ = strike.happen();
    }
}

/// Passes an operation on the disk.
#[inline]
pub(crate) fn operation(point: Point) -> std::io::Result<()> {
    match strike(point) {
        Some(strike) => Err(strike.happen()),
        None => Ok(()),
    }
}

#[cfg(not(any(test, feature = "fault-points")))]
mod unarmed {
    /// There is none.
    #[derive(Debug)]
    pub(crate) enum Strike {}

    impl Strike {
        pub(crate) fn happen(self) -> std::io::Error {
            match self {}
        }
    }

    #[inline]
    pub(crate) fn strike(_: super::Point) -> Option<Strike> {
        None
    }

    /// Tells which worker this process is.
    #[inline]
    pub fn set_rank(_: usize) {}
}

#[cfg(not(any(test, feature = "fault-points")))]
pub use unarmed::set_rank;
#[cfg(not(any(test, feature = "fault-points")))]
pub(crate) use unarmed::strike;
