//! Which libtorch is taken, in order of who asked for it.

use std::path::{Path, PathBuf};

use super::libtorch::Libtorch;
use super::link::{self, Link};
use super::{RELEASE, Ready, Wish, python};
use crate::failure::{Doing, Result, fail};

/// Takes what the user names, else what the link leads to, else what `cached` finds or fetches.
pub(super) fn pick(root: &Path, wish: &Wish, cached: impl FnOnce() -> Result<PathBuf>) -> Result<Ready> {
    if let Some(path) = &wish.libtorch {
        let path = std::path::absolute(path).doing(|| format!("LIBTORCH={}", path.display()))?;
        return named(&path, "LIBTORCH", "as LIBTORCH says");
    }
    if wish.pytorch {
        return named(&python::torch()?, "LIBTORCH_USE_PYTORCH", "of python3's torch");
    }
    match link::read(root) {
        Link::Absent => {}
        Link::To(path) => match fitting(&path) {
            Ok(libtorch) => return Ok(ready(libtorch, "in place")),
            Err(failure) => eprintln!("{} is of no use, choosing anew: {failure}", link::NAME),
        },
        Link::Folder(path) => match fitting(&path) {
            Ok(libtorch) => return Ok(ready(libtorch, "in place")),
            Err(failure) => {
                return fail(format!(
                    "{failure}\n  it is a folder and not a link: move it away, and setup will put a link there"
                ));
            }
        },
    }
    Ok(ready(fitting(&cached()?)?, "from the cache"))
}

fn ready(libtorch: Libtorch, source: &'static str) -> Ready {
    Ready { libtorch, source }
}

fn fitting(path: &Path) -> Result<Libtorch> {
    let libtorch = Libtorch::inspect(path)?;
    libtorch.require(&RELEASE, &path.display().to_string())?;
    Ok(libtorch)
}

/// One that the user named is taken or refused, never passed over.
fn named(path: &Path, variable: &str, source: &'static str) -> Result<Ready> {
    match fitting(path) {
        Ok(libtorch) => Ok(ready(libtorch, source)),
        Err(failure) => {
            fail(format!("{failure}\n  {variable} chose it: name another, or unset {variable} to let setup fetch one"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::libtorch::tests::fake;
    use super::*;

    fn no_fetch() -> Result<PathBuf> {
        fail("nothing was to be fetched")
    }

    #[test]
    fn what_the_user_names_comes_before_the_link() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        fake(&one, "2.13.0");
        fake(&other, "2.13.1");
        link::point(dir.path(), &one).unwrap();

        let ready = pick(dir.path(), &Wish::default(), no_fetch).unwrap();
        assert_eq!(ready.libtorch.path, one);
        let wish = Wish { libtorch: Some(other.clone()), pytorch: false };
        let ready = pick(dir.path(), &wish, no_fetch).unwrap();
        assert_eq!(ready.libtorch.path, other);
    }

    #[test]
    fn a_wrong_version_by_libtorch_is_refused_and_both_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join("old");
        fake(&old, "2.9.1");
        let wish = Wish { libtorch: Some(old), pytorch: false };
        let text = pick(dir.path(), &wish, no_fetch).err().unwrap().to_string();
        assert!(text.contains("2.9.1") && text.contains("2.13"), "{text}");
        assert!(text.contains("unset LIBTORCH"), "{text}");
    }

    #[test]
    fn a_link_to_a_wrong_version_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fake(&old, "2.9.1");
        fake(&new, "2.13.0");
        link::point(dir.path(), &old).unwrap();
        let ready = pick(dir.path(), &Wish::default(), || Ok(new.clone())).unwrap();
        assert_eq!(ready.libtorch.path, new);
    }
}
