//! What the build script says of libtorch's headers: which versions it takes, and how it refuses the others.

use std::fs;
use std::path::{Path, PathBuf};

#[allow(dead_code, reason = "written for the build script, which calls all of it")]
#[path = "../build/version.rs"]
mod version;

/// A folder with the parts of a libtorch that tell its version.
fn libtorch(parent: &Path, name: &str, headers: (u32, u32, u32), build_version: Option<&str>) -> (PathBuf, PathBuf) {
    let (include, lib) = (parent.join(name).join("include"), parent.join(name).join("lib"));
    let header = include.join("torch/headeronly/version.h");
    fs::create_dir_all(header.parent().unwrap()).unwrap();
    fs::create_dir_all(&lib).unwrap();
    let (major, minor, patch) = headers;
    let text = format!(
        "#pragma once\n\n#define TORCH_VERSION_MAJOR {major}\n#define TORCH_VERSION_MINOR {minor}\n\
         #define TORCH_VERSION_PATCH {patch}\n#define TORCH_VERSION \\\n  \"{major}.{minor}.{patch}\"\n"
    );
    fs::write(header, text).unwrap();
    if let Some(text) = build_version {
        fs::write(lib.join("../build-version"), text).unwrap();
    }
    (include, lib)
}

fn refusal(include: &Path, lib: &Path) -> String {
    version::check(include, Some(lib)).map(|version| version.to_string()).unwrap_err()
}

#[test]
fn the_three_series_are_taken_in_any_patch_release() {
    let dir = tempfile::tempdir().unwrap();
    for (minor, patch) in [(11, 0), (12, 0), (12, 1), (13, 0), (13, 7)] {
        let text = format!("2.{minor}.{patch}");
        for (name, beside) in [("plain", None), ("zip", Some(format!("{text}+cpu\n")))] {
            let (include, lib) = libtorch(dir.path(), name, (2, minor, patch), beside.as_deref());
            assert_eq!(version::check(&include, Some(&lib)).map(|version| version.to_string()), Ok(text.clone()));
        }
    }
}

#[test]
fn another_series_is_refused_with_both_versions_and_what_fits() {
    let dir = tempfile::tempdir().unwrap();
    for (found, shown) in [((2, 10, 1), "2.10.1"), ((2, 14, 0), "2.14.0"), ((3, 11, 0), "3.11.0")] {
        let (include, lib) = libtorch(dir.path(), "libtorch", found, None);
        let text = refusal(&include, &lib);
        assert!(text.contains(&format!("are of libtorch {shown}, and trainloop-c10d ")), "{text}");
        assert!(text.contains("needs 2.11, 2.12 or 2.13; set LIBTORCH"), "{text}");
        assert!(text.contains("2.11 with tch 0.24") && text.contains("cargo xtask setup"), "{text}");
    }
}

#[test]
fn headers_beside_another_versions_libraries_are_refused_with_both() {
    let dir = tempfile::tempdir().unwrap();
    // By the file beside the libraries, and, without it, by the headers beside them.
    let (_, zip) = libtorch(dir.path(), "zip", (2, 12, 1), Some("2.12.1+cpu"));
    let (_, wheel) = libtorch(dir.path(), "wheel", (2, 12, 1), None);
    let (include, _) = libtorch(dir.path(), "headers", (2, 13, 0), None);
    for lib in [zip, wheel] {
        let text = refusal(&include, &lib);
        assert!(
            text.contains("are of libtorch 2.13.0, and the libraries in ") && text.contains(" of 2.12.1; "),
            "{text}"
        );
    }
}

#[test]
fn headers_that_tell_no_version_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = refusal(&dir.path().join("include"), &dir.path().join("lib"));
    assert!(text.contains("do not tell their version in torch/headeronly/version.h"), "{text}");
}
