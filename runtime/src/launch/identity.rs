//! What a driver and its workers must have in common: the binary, and what is registered in it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::callback;
use crate::error::{Error, Result};
use crate::trainer::Registration;

/// Which file a process executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Binary {
    /// Device, inode and length, which hold even where the file's path names a newer build.
    File(u64, u64, u64),
    /// A hash of the content, where each machine has a file of its own.
    Content([u8; 32]),
}

/// A process's binary: its file, this crate's version, its train loops and its callbacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    version: String,
    file: Binary,
    /// Each loop and each callback, sorted.
    registry: Vec<String>,
}

impl Identity {
    /// For workers on this machine.
    pub(crate) fn of_this_process() -> Result<Self> {
        let path = Path::new("/proc/self/exe");
        let file = path.metadata().map_err(Error::io("look at the running binary", path))?;
        Ok(Self::with(Binary::File(file.dev(), file.ino(), file.len())))
    }

    /// For workers anywhere.
    pub(crate) fn by_content() -> Result<Self> {
        let path = Path::new("/proc/self/exe");
        let hash = || Ok(*blake3::Hasher::new().update_reader(File::open(path)?)?.finalize().as_bytes());
        Ok(Self::with(Binary::Content(hash().map_err(Error::io("read the running binary", path))?)))
    }

    /// This process's, in the way in which the driver's is given.
    pub(crate) fn as_of(driver: &Self) -> Result<Self> {
        match driver.file {
            Binary::File(..) => Self::of_this_process(),
            Binary::Content(_) => Self::by_content(),
        }
    }

    fn with(file: Binary) -> Self {
        let loops = Registration::all().into_iter().map(|entry| format!("train loop `{}`", entry.name));
        let mut registry: Vec<_> = loops.chain(callback::described()).collect();
        registry.sort_unstable();
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), file, registry }
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
            file: Binary::File(1, 2, 3),
            registry: vec!["train loop `a`".to_owned(), "train loop `b`".to_owned()],
        };
        driver.check(&driver.clone()).unwrap();
        let message = |worker: Identity| driver.check(&worker).unwrap_err().to_string();
        let build = message(Identity { file: Binary::File(1, 7, 3), ..driver.clone() });
        assert!(build.contains("two builds of one program"), "{build}");
        let version = message(Identity { version: "1.1.0".to_owned(), ..driver.clone() });
        assert!(version.contains("trainloop 1.1.0, and the driver 1.0.0"), "{version}");
        let registry = vec!["train loop `b`".to_owned(), "train loop `c`".to_owned()];
        let loops = message(Identity { registry, ..driver.clone() });
        assert!(loops.contains("the worker's lacks train loop `a`, and the driver's lacks train loop `c`"), "{loops}");
    }
}
