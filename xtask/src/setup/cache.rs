//! The user-wide cache: folders that either are whole or do not count.
//!
//! A folder is whole when it holds a marker that is written last. One that grows aside is renamed into
//! place after that; whatever an interrupted setup left is swept by the next.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::disk::{check_room, create, flush, remove};
use crate::failure::{Doing, Result, fail};

/// Written last, so that its presence means the rest is there.
const MARKER: &str = ".whole";

/// The folder that holds everything fetched once for all checkouts.
pub(crate) struct Cache {
    root: PathBuf,
}

/// Where a folder grows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Beside its place, to be renamed.
    Aside,
    /// In its place, for what must not be moved; until marked it does not count.
    Final,
}

impl Cache {
    /// `TRAINLOOP_CACHE`, else `XDG_CACHE_HOME/trainloop`, else `~/.cache/trainloop`.
    pub(crate) fn of_user() -> Result<Self> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = set("TRAINLOOP_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("trainloop")))
            .or_else(|| set("HOME").map(|dir| dir.join(".cache/trainloop")));
        let Some(root) = root else {
            return fail("no folder for downloads: neither TRAINLOOP_CACHE nor HOME is set\n  set TRAINLOOP_CACHE");
        };
        let root = std::path::absolute(&root).doing(|| format!("cache {}", root.display()))?;
        Ok(Self { root })
    }

    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn slot(&self, name: &str) -> Slot {
        Slot { path: self.root.join(name) }
    }
}

/// A named folder in the cache, whole or not.
pub(crate) struct Slot {
    path: PathBuf,
}

impl Slot {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.path.join(MARKER).is_file()
    }

    /// Fills the folder by `fill`, which gets the folder to fill and one for what it needs only meanwhile.
    ///
    /// One process at a time; another waits, and finds the folder whole. After an error nothing is left.
    pub(crate) fn fill(&self, place: Place, room: u64, fill: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<()> {
        let parent = self.path.parent().unwrap_or(&self.path);
        create(parent)?;
        let _lock = self.lock()?;
        if self.is_whole() {
            return Ok(());
        }
        self.sweep()?;
        check_room(parent, room)?;
        let filled = self.fill_locked(place, fill);
        if filled.is_err() {
            // The error in hand says more than one from sweeping would.
            drop(self.sweep());
        }
        filled
    }

    fn fill_locked(&self, place: Place, fill: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<()> {
        let scratch = self.sibling("scratch");
        let grown = match place {
            Place::Aside => self.sibling("partial"),
            Place::Final => self.path.clone(),
        };
        create(&grown)?;
        create(&scratch)?;
        fill(&grown, &scratch)?;
        remove(&scratch)?;
        flush(&grown)?;
        let marker = grown.join(MARKER);
        File::create(&marker)
            .and_then(|file| file.sync_all())
            .doing(|| format!("cannot write {}", marker.display()))?;
        if place == Place::Aside {
            fs::rename(&grown, &self.path)
                .doing(|| format!("cannot rename {} to {}", grown.display(), self.path.display()))?;
        }
        Ok(())
    }

    fn sibling(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }

    /// Removes what an interrupted fill left; only under the lock, when nobody else can be filling.
    fn sweep(&self) -> Result<()> {
        remove(&self.sibling("scratch"))?;
        remove(&self.sibling("partial"))?;
        remove(&self.path)
    }

    /// The lock lasts as long as the file is open, so it ends with the process, however that ends.
    fn lock(&self) -> Result<File> {
        let path = self.sibling("lock");
        let what = || format!("cannot lock {}", path.display());
        let file = File::create(&path).doing(what)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error).doing(what),
        }
        eprintln!("another setup is filling {}; waiting for it", self.path.display());
        rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive)).doing(what)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn slot(dir: &Path) -> Slot {
        Cache::at(dir).slot("thing")
    }

    /// All names in the cache but the lock's.
    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "thing.lock")
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_filled_folder_is_whole_and_alone() {
        for place in [Place::Aside, Place::Final] {
            let dir = tempfile::tempdir().unwrap();
            let slot = slot(dir.path());
            slot.fill(place, 0, |tree, scratch| {
                fs::write(scratch.join("download"), "x").unwrap();
                fs::write(tree.join("file"), "y").unwrap();
                Ok(())
            })
            .unwrap();
            assert!(slot.is_whole());
            assert_eq!(names(dir.path()), ["thing"]);
            assert_eq!(fs::read(slot.path().join("file")).unwrap(), b"y");
        }
    }

    #[test]
    fn an_error_leaves_nothing() {
        for place in [Place::Aside, Place::Final] {
            let dir = tempfile::tempdir().unwrap();
            let failed = slot(dir.path()).fill(place, 0, |tree, scratch| {
                fs::write(scratch.join("download"), "x").unwrap();
                fs::write(tree.join("file"), "y").unwrap();
                fail("no network")
            });
            assert_eq!(failed.unwrap_err().to_string(), "no network");
            assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
        }
    }

    #[test]
    fn what_an_interrupted_fill_left_does_not_count_and_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let slot = slot(dir.path());
        for name in ["thing", "thing.partial", "thing.scratch"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("old"), "half").unwrap();
        }
        assert!(!slot.is_whole());
        slot.fill(Place::Aside, 0, |tree, scratch| {
            assert!(!tree.join("old").exists() && !scratch.join("old").exists());
            Ok(())
        })
        .unwrap();
        assert!(slot.is_whole() && !slot.path().join("old").exists());
        assert_eq!(names(dir.path()), ["thing"]);
    }

    #[test]
    fn a_second_fill_waits_and_finds_it_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (began, begins) = mpsc::channel();
        thread::scope(|scope| {
            let first = slot(dir.path());
            scope.spawn(move || {
                first.fill(Place::Aside, 0, |tree, _| {
                    began.send(()).unwrap();
                    fs::write(tree.join("file"), "first").unwrap();
                    Ok(())
                })
            });
            begins.recv().unwrap();
            let second = slot(dir.path());
            second.fill(Place::Aside, 0, |_, _| fail("filled twice")).unwrap();
        });
        assert_eq!(fs::read(dir.path().join("thing/file")).unwrap(), b"first");
    }

    #[test]
    fn too_little_space_is_said_before_anything_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let failed = slot(dir.path()).fill(Place::Aside, u64::MAX, |_, _| Ok(()));
        let text = failed.unwrap_err().to_string();
        assert!(text.contains("too little space") && text.contains("TRAINLOOP_CACHE"), "{text}");
        assert!(names(dir.path()).is_empty());
    }
}
