//! Whether libtorch is the one that was compiled for: tch's bindings when this crate is compiled, the library when a program
//! has loaded it.

use std::fmt;

use crate::bridge::ffi;
use crate::error::{Error, Result};

/// Looks whether the libtorch that this program has loaded is of the series that it was compiled for, as the first store
/// does. For programs that use [`aten`](crate::aten) alone, or want to know before they do anything else.
///
/// Another patch release fits. Where the loaded libtorch lacks a function that the program needs, the operating system's
/// loader ends the program before its first instruction, and this is not reached.
///
/// ```no_run
/// # fn main() -> trainloop_c10d::Result<()> {
/// trainloop_c10d::check_libtorch()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Version`] with both versions.
pub fn check_libtorch() -> Result<()> {
    check("check_libtorch")
}

/// [`check_libtorch`] on the way into a call.
pub(crate) fn check(operation: &'static str) -> Result<()> {
    compare(operation, Version(ffi::compiled_version()), Version(ffi::loaded_version()))
}

fn compare(operation: &'static str, compiled: Version, loaded: Version) -> Result<()> {
    if compiled.series() == loaded.series() {
        return Ok(());
    }
    Err(Error::Version { operation, compiled: compiled.to_string(), loaded: loaded.to_string() })
}

/// libtorch's `TORCH_ABI_VERSION`: major, minor and patch number in a byte each, from the highest.
#[derive(Clone, Copy)]
struct Version(u64);

impl Version {
    fn numbers(self) -> [u8; 3] {
        let [major, minor, patch, ..] = self.0.to_be_bytes();
        [major, minor, patch]
    }

    fn series(self) -> [u8; 2] {
        let [major, minor, _] = self.numbers();
        [major, minor]
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers();
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// The bindings are held against the headers: torch-sys tells its version to no one, and compiles 0.24's on newer headers.
#[cfg(any(libtorch = "2.12", libtorch = "2.13"))]
#[allow(dead_code, reason = "where tch binds the function, the one that stands in for it is called by no one")]
mod bindings {
    use tch::Tensor;

    /// What a function is found to return that tch does not bind.
    struct Absent;

    /// Gives [`Tensor`] a function of a name that tch has since 0.25; tch's own goes before a trait's.
    trait Before025 {
        fn internal_philox_key_fold_in(_key: &Tensor, _data: i64) -> Absent {
            Absent
        }
    }

    impl Before025 for Tensor {}

    const fn is_bound<T>(_: fn(&Tensor, i64) -> T) -> bool {
        size_of::<T>() > 0
    }

    const _: () = assert!(
        is_bound(Tensor::internal_philox_key_fold_in),
        concat!(
            "the headers are of libtorch ",
            env!("TRAINLOOP_C10D_LIBTORCH"),
            ", and tch 0.24 binds libtorch 2.11: `cargo update -p tch --precise 0.26.0`, or set LIBTORCH to a libtorch 2.11"
        )
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u8, minor: u8, patch: u8, rest: [u8; 5]) -> Version {
        let mut bytes = [major, minor, patch, 0, 0, 0, 0, 0];
        bytes[3..].copy_from_slice(&rest);
        Version(u64::from_be_bytes(bytes))
    }

    #[test]
    fn another_series_is_an_error_with_both_versions() {
        let (compiled, loaded) = (version(2, 13, 0, [0; 5]), version(2, 12, 1, [0; 5]));
        let error = compare("FileStore::open", compiled, loaded).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("FileStore::open: compiled for libtorch 2.13.0, loaded libtorch 2.12.1; "), "{text}");
        assert!(!error.is_peer_failure());
        assert!(compare("op", version(3, 13, 0, [0; 5]), compiled).is_err());
    }

    #[test]
    fn another_patch_release_or_tag_fits() {
        let compiled = version(2, 12, 0, [0; 5]);
        assert_eq!(compare("op", compiled, version(2, 12, 1, [0; 5])), Ok(()));
        assert_eq!(compare("op", compiled, version(2, 12, 0, [0, 0, 0, 0, 7])), Ok(()));
    }

    #[test]
    fn the_library_tells_the_version_that_the_headers_have() {
        for version in [ffi::compiled_version(), ffi::loaded_version()] {
            assert_eq!(Some(Version(version).to_string().as_str()), option_env!("TRAINLOOP_C10D_LIBTORCH"));
        }
        assert_eq!(check_libtorch(), Ok(()));
    }
}
