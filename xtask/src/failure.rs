//! What a verb says when it cannot go on: what happened, to what, and what to do.

use std::fmt;
use std::io;

/// A message for the person at the terminal, and the exit code to end with.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    pub(crate) code: u8,
}

/// The result of everything here that can go wrong.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 1 }
    }

    /// Ends with `code`, as the program that failed did.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// What was being done, and the operating system's error.
    pub(crate) fn of_io(what: impl fmt::Display, error: &io::Error) -> Self {
        // A full disk and a used-up quota ask for the same mend.
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::disk_full(what),
            _ => Self::new(format!("{what}: {error}")),
        }
    }

    /// A full disk, in the same words wherever it shows.
    pub(crate) fn disk_full(what: impl fmt::Display) -> Self {
        Self::new(format!(
            "{what}: the disk is full\n  free some space, or name a folder on another disk in TRAINLOOP_CACHE"
        ))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Ends with `text` as the message.
pub(crate) fn fail<T>(text: impl Into<String>) -> Result<T> {
    Err(Failure::new(text))
}

/// Adds what was being done to an error of the operating system.
pub(crate) trait Doing<T> {
    fn doing<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Failure::of_io(what(), &error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_how_to_mend_it() {
        let error: io::Result<()> = Err(io::ErrorKind::StorageFull.into());
        let failure = error.doing(|| "cannot write /x").unwrap_err();
        assert_eq!(failure.code, 1);
        assert!(failure.to_string().starts_with("cannot write /x: the disk is full"), "{failure}");
        assert!(failure.to_string().contains("TRAINLOOP_CACHE"), "{failure}");
    }
}
