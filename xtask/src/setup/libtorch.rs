//! Looking at a folder: is it a libtorch, and of which version?

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::release::Release;
use crate::failure::{Doing, Result, fail};

/// Where the version's macros are: the first in newer releases, the second in older ones.
const HEADERS: [&str; 2] = ["include/torch/headeronly/version.h", "include/torch/csrc/api/include/torch/version.h"];

/// The version as a line of text, which torch's own archive has: torch-sys holds it against the one that it binds before
/// it compiles anything.
const BUILD_VERSION: &str = "build-version";

/// The library that every build links.
const LIBRARY: &str = "lib/libtorch_cpu.so";

/// libtorch's version, without what follows the patch number (`+cpu`, `a0`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) patch: u32,
}

impl Version {
    /// Reads `2.13.0`, `2.13.0+cu130` or `2.13.0a0+git1f2e3d`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, '.');
        let (major, minor, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()?, patch: rest[..digits].parse().ok()? })
    }

    /// Reads the macros `TORCH_VERSION_MAJOR` and so on.
    fn of_header(text: &str) -> Option<Self> {
        let number = |name: &str| {
            text.lines().find_map(|line| {
                let mut words = line.split_whitespace();
                (words.next() == Some("#define") && words.next() == Some(name))
                    .then(|| words.next()?.parse().ok())
                    .flatten()
            })
        };
        Some(Self {
            major: number("TORCH_VERSION_MAJOR")?,
            minor: number("TORCH_VERSION_MINOR")?,
            patch: number("TORCH_VERSION_PATCH")?,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A folder that holds libtorch.
#[derive(Debug)]
pub(super) struct Libtorch {
    pub(super) path: PathBuf,
    pub(super) version: Version,
}

impl Libtorch {
    /// Looks at headers and library; the library is not loaded.
    pub(super) fn inspect(path: &Path) -> Result<Self> {
        let shown = path.display();
        if !path.is_dir() {
            return fail(format!("{shown} is not a folder, so not a libtorch"));
        }
        let library = path.join(LIBRARY);
        let size = fs::metadata(&library).map_or(0, |found| found.len());
        if size == 0 {
            return fail(format!("{shown} is not a whole libtorch: it has no {LIBRARY}"));
        }
        let Some(version) = version(path)? else {
            return fail(format!("{shown} is not a whole libtorch: no version in {} or in build-version", HEADERS[0]));
        };
        Ok(Self { path: path.to_owned(), version })
    }

    /// Writes the version where torch-sys looks for it: a wheel does not have that file.
    pub(super) fn write_build_version(&self) -> Result<()> {
        let file = self.path.join(BUILD_VERSION);
        fs::write(&file, format!("{}\n", self.version)).doing(|| format!("cannot write {}", file.display()))
    }

    /// Refuses a version that the workspace's tch does not fit.
    pub(super) fn require(&self, release: &Release, what: &str) -> Result<()> {
        if release.fits(self.version) {
            return Ok(());
        }
        fail(format!(
            "{what} is libtorch {}, and this workspace (tch {}) needs {}",
            self.version,
            release.tch,
            release.series()
        ))
    }
}

/// The headers' version first: they are what gets compiled.
fn version(path: &Path) -> Result<Option<Version>> {
    for name in HEADERS {
        let file = path.join(name);
        if file.is_file() {
            let text = fs::read_to_string(&file).doing(|| format!("cannot read {}", file.display()))?;
            if let Some(version) = Version::of_header(&text) {
                return Ok(Some(version));
            }
        }
    }
    let text = fs::read_to_string(path.join(BUILD_VERSION)).unwrap_or_default();
    Ok(Version::parse(&text))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::RELEASE;
    use super::*;

    /// Makes a folder that looks like libtorch of this version.
    pub(crate) fn fake(path: &Path, version: &str) {
        let version = Version::parse(version).unwrap();
        let header = path.join(HEADERS[0]);
        fs::create_dir_all(header.parent().unwrap()).unwrap();
        fs::create_dir_all(path.join("lib")).unwrap();
        fs::write(path.join(LIBRARY), "elf").unwrap();
        let text = format!(
            "#pragma once\n#define TORCH_VERSION_MAJOR {}\n#define TORCH_VERSION_MINOR {}\n\
             #define TORCH_VERSION_PATCH {}\n",
            version.major, version.minor, version.patch
        );
        fs::write(header, text).unwrap();
    }

    #[test]
    fn versions_are_read_with_and_without_a_suffix() {
        let expected = Some(Version { major: 2, minor: 13, patch: 0 });
        for text in ["2.13.0", "2.13.0+cpu\n", "2.13.0+cu130", "2.13.0a0+git1f2e"] {
            assert_eq!(Version::parse(text), expected, "{text}");
        }
        for text in ["", "2", "2.13", "2.13.x", "two.13.0", "v2.13.0"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_header_gives_the_version_and_the_file_only_without_it() {
        let dir = tempfile::tempdir().unwrap();
        fake(dir.path(), "2.13.1");
        fs::write(dir.path().join("build-version"), "2.11.0+cpu").unwrap();
        assert_eq!(Libtorch::inspect(dir.path()).unwrap().version.to_string(), "2.13.1");
        fs::write(dir.path().join(HEADERS[0]), "#pragma once\n").unwrap();
        assert_eq!(Libtorch::inspect(dir.path()).unwrap().version.to_string(), "2.11.0");
    }

    #[test]
    fn a_folder_without_the_library_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let text = Libtorch::inspect(dir.path()).unwrap_err().to_string();
        assert!(text.contains("lib/libtorch_cpu.so"), "{text}");
        let text = Libtorch::inspect(&dir.path().join("no")).unwrap_err().to_string();
        assert!(text.contains("not a folder"), "{text}");
    }

    #[test]
    fn another_series_is_refused_and_another_patch_is_not() {
        let dir = tempfile::tempdir().unwrap();
        fake(dir.path(), "2.13.7");
        assert!(Libtorch::inspect(dir.path()).unwrap().require(&RELEASE, "it").is_ok());
        fake(dir.path(), "2.12.0");
        let found = Libtorch::inspect(dir.path()).unwrap();
        let text = found.require(&RELEASE, "it").unwrap_err().to_string();
        assert_eq!(text, "it is libtorch 2.12.0, and this workspace (tch 0.26.0) needs 2.13");
    }
}
