//! The comparisons with torch: a virtual environment in the user's cache, and the tests that ask it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cargo;
use crate::failure::Result;
use crate::setup::{Cache, Place, RELEASE, Slot, python3};

/// What the environment takes while pip fills it: torch's own wheel brings CUDA with it.
const ROOM: u64 = 8_000_000_000;

/// The variable in which tests and benchmarks are told of the environment's python.
pub(crate) const PYTHON: &str = "TRAINLOOP_PEER_PYTHON";

/// Runs the tests behind the feature `peers`: the files `…_peers.rs`. The whole workspace is named, so that nothing is built
/// again that its other tests have built.
pub(crate) fn test(root: &Path) -> Result<()> {
    let python = environment()?;
    cargo::run(
        cargo::cargo(root)
            .args(["test", "--workspace", "--features", "trainloop-tests/peers", "--test", "*_peers"])
            .env(PYTHON, python),
    )
}

/// What is in the environment besides torch, with a version where one is compared with.
const PACKAGES: [(&str, &str); 5] =
    [("numpy", ""), ("safetensors", ""), ("tensorboard", ""), ("pyarrow", ""), ("accelerate", "1.15.0")];

/// The environment's python, after making the environment if need be.
pub(crate) fn environment() -> Result<PathBuf> {
    let slot = Cache::of_user()?.slot(&format!("peers-{}", RELEASE.version));
    if !slot.is_whole() {
        fill(&slot)?;
    }
    let python = slot.path().join("bin/python");
    // One that was made when the list was shorter; torch need not come anew for that.
    let missing = PACKAGES
        .iter()
        .filter(|(name, version)| !has(&python, name, version))
        .map(|(name, version)| pinned(name, version));
    let missing = missing.collect::<Vec<_>>();
    if !missing.is_empty() {
        cargo::run(Command::new(&python).args(["-m", "pip", "install", "--no-cache-dir"]).args(missing))?;
    }
    Ok(python)
}

/// What pip is asked for; any version where none is named.
fn pinned(name: &str, version: &str) -> String {
    if version.is_empty() { name.to_owned() } else { format!("{name}=={version}") }
}

fn has(python: &Path, name: &str, version: &str) -> bool {
    let program =
        "import importlib.metadata as m, sys; v = m.version(sys.argv[1]); sys.exit(sys.argv[2] not in ('', v))";
    let there = Command::new(python).args(["-c", program, name, version]).stderr(Stdio::null()).status();
    there.is_ok_and(|status| status.success())
}

fn fill(slot: &Slot) -> Result<()> {
    // In place: an environment's scripts hold its path, so that it must not be renamed.
    slot.fill(Place::Final, ROOM, |path, scratch| {
        eprintln!("making a Python environment with PyTorch in {}", path.display());
        cargo::run(Command::new(python3()?).args(["-m", "venv"]).arg(path))?;
        let requirement = format!("torch=={}", RELEASE.version);
        let mut pip = Command::new(path.join("bin/python"));
        pip.args(["-m", "pip", "install", "--no-cache-dir", &requirement])
            .args(PACKAGES.map(|(name, version)| pinned(name, version)));
        cargo::run(pip.env("TMPDIR", scratch))
    })
}
