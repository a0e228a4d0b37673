//! Taking named parts out of a zip archive, which a wheel is too.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Component, Path, PathBuf};

use indicatif::ProgressBar;
use zip::ZipArchive;
use zip::result::ZipError;

use super::release::Part;
use crate::failure::{Doing, Failure, Result, fail};

/// Writes the parts below `dest`; every part must be there, and every member's CRC must hold.
pub(super) fn unpack(archive: &Path, parts: &[Part], dest: &Path, progress: &ProgressBar) -> Result<()> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let what = || format!("cannot unpack {name}");
    let broken = |error: ZipError| match error {
        ZipError::Io(error) => Failure::of_io(what(), &error),
        error => Failure::new(format!("{}: not a whole zip archive ({error})", what())),
    };
    let file = BufReader::with_capacity(1 << 20, File::open(archive).doing(what)?);
    let mut zip = ZipArchive::new(file).map_err(broken)?;
    let mut seen = vec![false; parts.len()];

    for index in 0..zip.len() {
        let mut member = zip.by_index(index).map_err(broken)?;
        let member_name = member.name().map_err(broken)?.into_owned();
        check_name(&member_name).map_err(|failure| Failure::new(format!("{}: {failure}", what())))?;
        let Some((part, target)) = wanted(&member_name, parts) else {
            continue;
        };
        if member.is_dir() {
            continue;
        }
        if member.is_symlink() {
            return fail(format!("{}: {member_name} is a link, and none is expected", what()));
        }
        seen[part] = true;
        let target = dest.join(target);
        let write = || format!("{}: cannot write {}", what(), target.display());
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).doing(write)?;
        }
        let mut file = File::create(&target).doing(write)?;
        // The reader checks the member's CRC at its end.
        io::copy(&mut member, &mut progress.wrap_write(&mut file)).doing(write)?;
    }
    match seen.iter().position(|seen| !seen) {
        None => Ok(()),
        Some(part) => fail(format!("{}: it has no {}", what(), parts[part].from)),
    }
}

/// The part that a member belongs to, and its path below the destination.
fn wanted(name: &str, parts: &[Part]) -> Option<(usize, PathBuf)> {
    parts.iter().enumerate().find_map(|(index, part)| {
        let rest = name.strip_prefix(part.from)?;
        let fits = rest.is_empty() || part.from.ends_with('/');
        fits.then(|| (index, PathBuf::from(format!("{}{rest}", part.to))))
    })
}

/// Refuses a name that could lead out of the destination: whoever made it meant harm.
fn check_name(name: &str) -> Result<()> {
    let plain =
        Path::new(name).components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir));
    if plain && !name.contains(['\\', '\0']) {
        return Ok(());
    }
    fail(format!("it holds {name:?}, a path that leads elsewhere"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    const PARTS: &[Part] =
        &[Part { from: "torch/include/", to: "include/" }, Part { from: "torch/lib/libc10.so", to: "lib/libc10.so" }];

    /// A small archive with these members.
    pub(crate) fn archive(path: &Path, members: &[(&str, &str)]) {
        let mut zip = ZipWriter::new(File::create(path).unwrap());
        for (name, text) in members {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
    }

    const MEMBERS: [(&str, &str); 5] = [
        ("torch/include/ATen/a.h", "header"),
        ("torch/lib/libc10.so", "library"),
        ("torch/lib/libc10.so.old", "no"),
        ("torch/lib/libtorch_cuda.so", "no"),
        ("torch/nn.py", "no"),
    ];

    fn try_unpack(dir: &Path, members: &[(&str, &str)]) -> Result<()> {
        let path = dir.join("a.whl");
        archive(&path, members);
        unpack(&path, PARTS, &dir.join("out"), &ProgressBar::hidden())
    }

    #[test]
    fn only_the_parts_come_out() {
        let dir = tempfile::tempdir().unwrap();
        try_unpack(dir.path(), &MEMBERS).unwrap();
        let out = dir.path().join("out");
        assert_eq!(fs::read(out.join("include/ATen/a.h")).unwrap(), b"header");
        assert_eq!(fs::read(out.join("lib/libc10.so")).unwrap(), b"library");
        assert_eq!(fs::read_dir(out.join("lib")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
    }

    #[test]
    fn a_part_that_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let text = try_unpack(dir.path(), &MEMBERS[..1]).unwrap_err().to_string();
        assert_eq!(text, "cannot unpack a.whl: it has no torch/lib/libc10.so");
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for name in ["torch/include/../../../evil", "/evil", "../evil", "torch\\..\\evil"] {
            let dir = tempfile::tempdir().unwrap();
            let text = try_unpack(dir.path(), &[(name, "x")]).unwrap_err().to_string();
            assert!(text.contains("leads elsewhere"), "{text}");
            assert!(!dir.path().join("out").exists() && !dir.path().join("evil").exists());
        }
    }

    #[test]
    fn a_truncated_archive_and_a_flipped_byte_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let (path, out) = (dir.path().join("a.whl"), dir.path().join("out"));
        archive(&path, &MEMBERS);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let text = unpack(&path, PARTS, &out, &ProgressBar::hidden()).unwrap_err().to_string();
        assert!(text.contains("not a whole zip archive"), "{text}");

        let at = whole.windows(6).position(|bytes| bytes == b"ATen/a").unwrap() + "ATen/a.h".len();
        let mut bent = whole.clone();
        bent[at + 2] ^= 0x55;
        fs::write(&path, &bent).unwrap();
        assert!(unpack(&path, PARTS, &out, &ProgressBar::hidden()).is_err());
    }
}
