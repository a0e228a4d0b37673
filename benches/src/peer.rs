//! The other side of a comparison: scripts in `peers/`, run by a Python that has PyTorch.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use trainloop::{Error, Result};

use crate::compare::Times;

/// Set by `cargo xtask bench NAME --peers`.
const PYTHON: &str = "TRAINLOOP_PEER_PYTHON";

/// A script of `benches/peers/`, and the Python for it.
#[derive(Debug)]
pub struct Peer {
    python: OsString,
    script: &'static str,
}

impl Peer {
    /// The script of this name, where a comparison is asked for.
    #[must_use]
    pub fn new(script: &'static str) -> Option<Self> {
        std::env::var_os(PYTHON).map(|python| Self { python, script })
    }

    /// What starts the script.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(self.script));
        command
    }
}

/// Starts `command(rank, store)` for each of `count` ranks, with one thread each, which meet in the file `store`; gives the
/// times that rank 0 prints as JSON.
///
/// # Errors
/// Where a rank cannot be started or fails, with what it said, or rank 0 prints anything else.
pub fn ranks(count: usize, mut command: impl FnMut(usize, &Path) -> Command) -> Result<Times> {
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("store");
    let mut spawn = |rank| {
        let mut command = command(rank, &store);
        // Each sets libtorch's own number, too.
        command.env("OMP_NUM_THREADS", "1").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    };
    let children = (0..count).map(&mut spawn).collect::<std::io::Result<Vec<Child>>>()?;
    let mut times = None;
    for (rank, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(Error::other(format!("rank {rank} ended with {}: {words}", output.status)));
        }
        if times.is_none() {
            times = Some(serde_json::from_slice(&output.stdout).map_err(Error::other)?);
        }
    }
    times.ok_or_else(|| Error::other("no rank was asked for"))
}
