//! The link `.libtorch` in the repository's root, to which cargo's configuration points every build.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;

use crate::failure::{Doing, Result};

/// The link's name, as `.cargo/config.toml` has it.
pub(super) const NAME: &str = ".libtorch";

/// What has the link's name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Link {
    Absent,
    To(PathBuf),
    /// Not a link: put there by hand.
    Folder(PathBuf),
}

pub(super) fn read(root: &Path) -> Link {
    let path = root.join(NAME);
    match fs::read_link(&path) {
        // A relative target counts from the link's own folder.
        Ok(target) => Link::To(root.join(target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Link::Absent,
        Err(_) => Link::Folder(path),
    }
}

/// Makes the link lead to `target`, in one step for whoever looks; tells whether that changed it.
pub(super) fn point(root: &Path, target: &Path) -> Result<bool> {
    let link = root.join(NAME);
    if read(root) == Link::To(target.to_owned()) || target == link {
        return Ok(false);
    }
    let temporary = root.join(format!("{NAME}.{}", process::id()));
    let what = || format!("cannot link {} to {}", link.display(), target.display());
    symlink(target, &temporary).doing(what)?;
    let renamed = fs::rename(&temporary, &link).doing(what);
    if renamed.is_err() {
        drop(fs::remove_file(&temporary));
    }
    renamed.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointing_twice_changes_once_and_leaves_only_the_link() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), Link::Absent);
        assert!(point(dir.path(), Path::new("/one")).unwrap());
        assert!(!point(dir.path(), Path::new("/one")).unwrap());
        assert!(point(dir.path(), Path::new("/two")).unwrap());
        assert_eq!(read(dir.path()), Link::To("/two".into()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_of_that_name_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(NAME);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), "").unwrap();
        assert_eq!(read(dir.path()), Link::Folder(folder.clone()));
        assert!(point(dir.path(), Path::new("/one")).is_err());
        assert!(folder.join("file").exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
