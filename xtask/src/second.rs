//! The repository's source on another libtorch than its own, beside the ordinary build.
//!
//! One release of tch fits one of libtorch, and a workspace has one lock file. So this makes a second workspace below
//! `target/`: links to the members and the manifest, and a lock file of its own. Nothing else in the repository changes.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo;
use crate::failure::{Doing, Result};
use crate::setup::Release;

/// What is left out of the second workspace: it has its own of the first, and no need of the others.
const NOT_LINKED: [&str; 3] = ["Cargo.lock", "target", "runs"];

/// The lock file that the second workspace's was made from, kept to see when that changes.
const LOCK_BEFORE: &str = "Cargo.lock.of-repository";

/// The crates whose release goes with libtorch's.
const BINDINGS: [&str; 2] = ["tch", "torch-sys"];

/// The second workspace, and what it is built on.
pub(crate) struct Second {
    workspace: PathBuf,
    libtorch: PathBuf,
    target: PathBuf,
}

impl Second {
    /// In the folder `name` of `target`, with the bindings of this release.
    pub(crate) fn new(root: &Path, name: &str, release: &Release, libtorch: PathBuf) -> Result<Self> {
        let target = root.join("target").join(name);
        let workspace = target.join("workspace");
        link_members(root, &workspace)?;
        lock(root, &workspace, release)?;
        Ok(Self { workspace, libtorch, target })
    }

    /// Where cargo puts what it builds there.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Cargo in the second workspace, for this libtorch and no other.
    pub(crate) fn cargo(&self) -> Result<Command> {
        let lib = self.libtorch.join("lib");
        let mut paths = vec![lib.clone()];
        paths.extend(env::var_os("LD_LIBRARY_PATH").iter().flat_map(env::split_paths));
        let paths =
            env::join_paths(paths).map_err(io::Error::other).doing(|| format!("cannot use {}", lib.display()))?;
        // The repository's configuration names `.libtorch` in the programs; these stand in its place. Separated by a byte
        // that no path has.
        let mut flags = OsString::from("-C\u{1f}link-arg=-Wl,-rpath,");
        flags.push(&lib);

        let mut command = cargo::cargo(&self.workspace);
        for name in ["LIBTORCH_INCLUDE", "LIBTORCH_LIB", "LIBTORCH_STATIC", "LIBTORCH_CXX11_ABI"] {
            command.env_remove(name);
        }
        command
            .env("LIBTORCH", &self.libtorch)
            .env("LD_LIBRARY_PATH", paths)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_ENCODED_RUSTFLAGS", &flags)
            .env("CARGO_ENCODED_RUSTDOCFLAGS", &flags)
            // torch-sys takes only the very release that it was made for, where it can tell; the pair was chosen here.
            .env("LIBTORCH_BYPASS_VERSION_CHECK", OsStr::new("1"));
        Ok(command)
    }
}

/// Links everything that the repository's root holds but what is hidden, and removes links to what has gone.
fn link_members(root: &Path, workspace: &Path) -> Result<()> {
    let what = || format!("cannot make the workspace {}", workspace.display());
    fs::create_dir_all(workspace).doing(what)?;
    for entry in fs::read_dir(workspace).doing(what)? {
        let path = entry.doing(what)?.path();
        if path.is_symlink() && !path.exists() {
            fs::remove_file(&path).doing(what)?;
        }
    }
    for entry in fs::read_dir(root).doing(what)? {
        let name = entry.doing(what)?.file_name();
        if NOT_LINKED.iter().any(|left_out| name == *left_out) || name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        match symlink(root.join(&name), workspace.join(&name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error).doing(what),
            _ => {}
        }
    }
    Ok(())
}

/// Makes the lock file: the repository's, with the release's bindings. Stays as it is until the repository's changes.
fn lock(root: &Path, workspace: &Path, release: &Release) -> Result<()> {
    let what = || format!("cannot make the lock file of {}", workspace.display());
    let ours = fs::read_to_string(root.join("Cargo.lock")).doing(what)?;
    let (lock, before) = (workspace.join("Cargo.lock"), workspace.join(LOCK_BEFORE));
    if lock.is_file() && fs::read_to_string(&before).is_ok_and(|text| text == ours) {
        return Ok(());
    }
    fs::write(&lock, &ours).doing(what)?;
    if !BINDINGS.iter().all(|name| locks(&ours, name, release.tch)) {
        choose_bindings(workspace, release)?;
    }
    // Last, so that an interrupted change does not count.
    fs::write(&before, &ours).doing(what)
}

/// Whether a lock file has this version of the crate.
fn locks(text: &str, name: &str, version: &str) -> bool {
    text.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n"))
}

/// Has cargo put the release's bindings into the lock file, from what it has on disk if it can.
fn choose_bindings(workspace: &Path, release: &Release) -> Result<()> {
    let update = |offline: bool| {
        let mut command = cargo::cargo(workspace);
        command.args(["update", "--quiet", "--package", BINDINGS[0], "--precise", release.tch]);
        if offline {
            command.arg("--offline");
        }
        command
    };
    // What it says then, it says again with the network.
    if update(true).output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    cargo::run(&mut update(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup;

    const LOCK: &str = "[[package]]\nname = \"tch\"\nversion = \"0.26.0\"\n\n[[package]]\nname = \"torch-sys\"\nversion = \"0.26.0\"\n";

    fn repository(dir: &Path) -> (PathBuf, PathBuf) {
        let root = dir.join("root");
        for folder in ["c10d", "target", ".git", "runs"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["Cargo.toml", "c10d/Cargo.toml", ".libtorch"] {
            fs::write(root.join(file), "").unwrap();
        }
        fs::write(root.join("Cargo.lock"), LOCK).unwrap();
        let workspace = root.join("target/libtorch-2.12/workspace");
        (root, workspace)
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn members_are_linked_and_what_has_gone_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (root, workspace) = repository(dir.path());
        fs::create_dir(root.join("former")).unwrap();
        link_members(&root, &workspace).unwrap();
        assert_eq!(names(&workspace), ["Cargo.toml", "c10d", "former"]);
        fs::remove_dir(root.join("former")).unwrap();
        link_members(&root, &workspace).unwrap();
        assert_eq!(names(&workspace), ["Cargo.toml", "c10d"]);
        assert!(workspace.join("c10d/Cargo.toml").is_file());
    }

    #[test]
    fn a_lock_file_that_fits_is_copied_and_made_anew_only_when_the_repositorys_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (root, workspace) = repository(dir.path());
        link_members(&root, &workspace).unwrap();
        let release = setup::of_series("2.12").unwrap();
        lock(&root, &workspace, &release).unwrap();
        let ours = workspace.join("Cargo.lock");
        assert_eq!(fs::read_to_string(&ours).unwrap(), LOCK);

        fs::write(&ours, "what cargo has changed").unwrap();
        lock(&root, &workspace, &release).unwrap();
        assert_eq!(fs::read_to_string(&ours).unwrap(), "what cargo has changed");

        fs::write(root.join("Cargo.lock"), format!("{LOCK}\n# changed\n")).unwrap();
        lock(&root, &workspace, &release).unwrap();
        assert_eq!(fs::read_to_string(&ours).unwrap(), format!("{LOCK}\n# changed\n"));
    }

    #[test]
    fn a_version_is_that_of_the_crate_and_whole() {
        assert!(locks(LOCK, "tch", "0.26.0") && locks(LOCK, "torch-sys", "0.26.0"));
        assert!(!locks(LOCK, "tch", "0.24.0") && !locks(LOCK, "tch", "0.26") && !locks(LOCK, "sys", "0.26.0"));
    }
}
