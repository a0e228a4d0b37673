//! Which libtorch the headers are of, and whether it is one that this source is made for.

use std::fmt;
use std::fs;
use std::path::Path;

/// Where a libtorch's headers say which they are; below an include folder.
const HEADER: &str = "torch/headeronly/version.h";

/// The series that this source compiles on, with the releases of tch and torch-sys that bind each. tch 0.25 and 0.26 bind
/// the same functions, none of which differs between 2.12 and 2.13.
const SERIES: [((u32, u32), &str); 3] = [((2, 11), "0.24"), ((2, 12), "0.25 or 0.26"), ((2, 13), "0.26")];

/// A libtorch's version, without what follows the patch number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Version {
    /// Reads the macros of the version's header.
    fn of_header(text: &str) -> Option<Self> {
        let number = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix("#define ")?.trim().strip_prefix(name));
            value?.trim().parse().ok()
        };
        Some(Self {
            major: number("TORCH_VERSION_MAJOR ")?,
            minor: number("TORCH_VERSION_MINOR ")?,
            patch: number("TORCH_VERSION_PATCH ")?,
        })
    }

    /// Reads `2.13.0` and `2.13.0+cpu`, as the file `build-version` has it.
    fn of_text(text: &str) -> Option<Self> {
        let number = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        let mut parts = text.trim().splitn(3, '.').map(number);
        Some(Self { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? })
    }

    fn of_include(include: &Path) -> Option<Self> {
        Self::of_header(&fs::read_to_string(include.join(HEADER)).ok()?)
    }
}

/// The version of the headers in `include`, once it is seen to be one of [`SERIES`] and that of the libraries in `lib`.
///
/// The libraries' own version is found out only when a program has loaded them: here it is what lies beside them.
pub(crate) fn check(include: &Path, lib: Option<&Path>) -> Result<Version, String> {
    let shown = include.display();
    println!("cargo:rerun-if-changed={}", include.join(HEADER).display());
    let Some(headers) = Version::of_include(include) else {
        return Err(format!(
            "the headers in {shown} do not tell their version in {HEADER}, as libtorch's since 2.9 do; {}",
            mend()
        ));
    };
    if !SERIES.iter().any(|((major, minor), _)| (*major, *minor) == (headers.major, headers.minor)) {
        return Err(format!(
            "the headers in {shown} are of libtorch {headers}, and trainloop-c10d {} needs {}; {}",
            env!("CARGO_PKG_VERSION"),
            needed(),
            mend()
        ));
    }
    let Some(lib) = lib else { return Ok(headers) };
    let beside = fs::read_to_string(lib.join("../build-version")).ok().and_then(|text| Version::of_text(&text));
    match beside.or_else(|| Version::of_include(&lib.join("../include"))) {
        Some(libraries) if libraries != headers => Err(format!(
            "the headers in {shown} are of libtorch {headers}, and the libraries in {} of {libraries}; set LIBTORCH to \
             one folder with both, and leave LIBTORCH_INCLUDE and LIBTORCH_LIB unset",
            lib.display()
        )),
        _ => Ok(headers),
    }
}

/// Tells the source which libtorch it is compiled for: `cfg(libtorch = "2.13")`, and the full number for messages.
pub(crate) fn emit(version: Version) {
    println!("cargo:rustc-cfg=libtorch=\"{}.{}\"", version.major, version.minor);
    println!("cargo:rustc-env=TRAINLOOP_C10D_LIBTORCH={version}");
}

/// The values that the cfg can have, so that rustc can tell a misspelt one.
pub(crate) fn declare() {
    let values: Vec<String> = SERIES.iter().map(|((major, minor), _)| format!("\"{major}.{minor}\"")).collect();
    println!("cargo:rustc-check-cfg=cfg(libtorch, values({}))", values.join(", "));
}

fn mend() -> String {
    let pairs: Vec<String> =
        SERIES.iter().map(|((major, minor), tch)| format!("{major}.{minor} with tch {tch}")).collect();
    format!(
        "set LIBTORCH to a libtorch that fits ({}); in trainloop's repository, `cargo xtask setup`",
        pairs.join(", ")
    )
}

fn needed() -> String {
    let [first, second, third] = SERIES.map(|((major, minor), _)| format!("{major}.{minor}"));
    format!("{first}, {second} or {third}")
}
