//! What a driver and its workers must have in common: the binary, and what is registered in it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::callback;
use crate::error::{Error, Result};
use crate::trainer::Registration;

/// A process's binary: its file, this crate's version, its train loops and its callbacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    version: String,
    /// Device, inode and length of the file that is executed. They hold even where its path names a newer build.
    file: (u64, u64, u64),
    /// Each loop and each callback, sorted.
    registry: Vec<String>,
}

impl Identity {
    pub(crate) fn of_this_process() -> Result<Self> {
        let path = Path::new("/proc/self/exe");
        let file = path.metadata().map_err(|source| Error::Io {
            action: "look at the running binary",
            path: path.to_owned(),
            source,
        })?;
        let loops = Registration::all().into_iter().map(|entry| format!("train loop `{}`", entry.name));
        let mut registry: Vec<_> = loops.chain(callback::described()).collect();
        registry.sort_unstable();
        Ok(Self { version: env!("CARGO_PKG_VERSION").to_owned(), file: (file.dev(), file.ino(), file.len()), registry })
    }

    /// The driver's, compared with a worker's.
    pub(crate) fn check(&self, worker: &Self) -> Result<()> {
        if self == worker {
            return Ok(());
        }
        let lacks = |one: &Self, other: &Self| {
            let missing: Vec<_> =
                one.registry.iter().filter(|entry| !other.registry.contains(entry)).cloned().collect();
            if missing.is_empty() { "nothing".to_owned() } else { missing.join(", ") }
        };
        let differs = if self.registry != worker.registry {
            format!("the worker's lacks {}, and the driver's lacks {}", lacks(self, worker), lacks(worker, self))
        } else if self.version != worker.version {
            format!("the worker has trainloop {}, and the driver {}", worker.version, self.version)
        } else {
            "they are two builds of one program".to_owned()
        };
        Err(Error::config(format!(
            "this worker runs another binary than the driver: {differs}; start both from one file, and do not execute \
             another program in a worker"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named() {
        let driver = Identity {
            version: "1.0.0".to_owned(),
            file: (1, 2, 3),
            registry: vec!["train loop `a`".to_owned(), "train loop `b`".to_owned()],
        };
        driver.check(&driver.clone()).unwrap();
        let message = |worker: Identity| driver.check(&worker).unwrap_err().to_string();
        let build = message(Identity { file: (1, 7, 3), ..driver.clone() });
        assert!(build.contains("two builds of one program"), "{build}");
        let version = message(Identity { version: "1.1.0".to_owned(), ..driver.clone() });
        assert!(version.contains("trainloop 1.1.0, and the driver 1.0.0"), "{version}");
        let registry = vec!["train loop `b`".to_owned(), "train loop `c`".to_owned()];
        let loops = message(Identity { registry, ..driver.clone() });
        assert!(loops.contains("the worker's lacks train loop `a`, and the driver's lacks train loop `c`"), "{loops}");
    }
}
