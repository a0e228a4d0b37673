//! libtorch out of torch's wheel, which pip fetches through whatever index the machine is set up for.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use indicatif::{ProgressBar, ProgressStyle};

use super::release::Wheel;
use super::{python, sha256, unpack};
use crate::failure::{Doing, Failure, Result, fail};

/// The files are pinned, so any python3 is to fetch the same: these say which, in place of its own version.
const TARGET: [&str; 18] = [
    "--no-deps",
    "--only-binary=:all:",
    "--python-version",
    "3.11",
    "--implementation",
    "cp",
    "--abi",
    "cp311",
    "--platform",
    "manylinux_2_28_x86_64",
    "--platform",
    "manylinux_2_25_x86_64",
    "--platform",
    "manylinux_2_18_x86_64",
    "--platform",
    "manylinux_2_17_x86_64",
    "--platform",
    "manylinux2014_x86_64",
];

/// Downloads into `scratch`, checks, and unpacks below `tree`.
pub(super) fn fetch(wheels: &[Wheel], tree: &Path, scratch: &Path) -> Result<()> {
    python::require_pip()?;
    download(wheels, scratch)?;
    install(wheels, tree, scratch)
}

fn download(wheels: &[Wheel], scratch: &Path) -> Result<()> {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--no-cache-dir"]).args(TARGET);
    command.arg("--dest").arg(scratch);
    command.args(wheels.iter().map(|wheel| wheel.requirement));
    // Its progress goes where ours goes, and its temporary files onto the disk whose room was checked.
    let progress = io::stderr().as_fd().try_clone_to_owned().doing(|| "cannot show pip's progress")?;
    command.env("TMPDIR", scratch).stdout(progress).stderr(Stdio::piped());

    let mut child = command.spawn().doing(|| "cannot start python3")?;
    let mut complaints = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(io::Result::ok) {
            // At once, because a wait explains itself by them: "Retrying after connection broken".
            if line.starts_with("WARNING") {
                eprintln!("{line}");
            }
            complaints.push(line);
        }
    }
    let status = child.wait().doing(|| "cannot wait for pip")?;
    if status.success() { Ok(()) } else { Err(explain(&complaints)) }
}

/// What pip's complaints come to.
fn explain(complaints: &[String]) -> Failure {
    let says = |text: &str| complaints.iter().any(|line| line.contains(text));
    if says("No space left on device") || says("Disk quota exceeded") {
        return Failure::disk_full("pip could not download PyTorch's wheel");
    }
    let last = complaints.iter().rfind(|line| !line.trim().is_empty());
    let last = last.map_or("it says nothing", |line| line.trim().trim_start_matches("ERROR: "));
    let why = if says("No matching distribution") {
        "there is no network, or the index that pip uses does not have it"
    } else {
        "see to the network, and to pip's settings (`python3 -m pip config list`)"
    };
    Failure::new(format!(
        "pip could not download PyTorch's wheel: {last}\n  {why}\n  nothing was installed: try again, or set \
         LIBTORCH to the folder of a libtorch that you have"
    ))
}

/// Checks every wheel before the first is unpacked.
fn install(wheels: &[Wheel], tree: &Path, scratch: &Path) -> Result<()> {
    let mut total = 0;
    for wheel in wheels {
        let path = scratch.join(wheel.file);
        match fs::metadata(&path) {
            Ok(found) => total += found.len(),
            Err(_) => {
                return fail(format!(
                    "pip fetched another file than {} for {}\n  nothing was installed: look at its output above",
                    wheel.file, wheel.requirement
                ));
            }
        }
    }
    let progress = bar("checking", Some(total));
    for wheel in wheels {
        let path = scratch.join(wheel.file);
        let sum = sha256::of_file(&path, &progress)?;
        sha256::require(&path, wheel.sha256, &sum)?;
    }
    progress.finish_and_clear();

    let progress = bar("unpacking", None);
    for wheel in wheels {
        unpack::unpack(&scratch.join(wheel.file), wheel.parts, tree, &progress)?;
    }
    progress.finish_and_clear();
    Ok(())
}

/// A bar, or a counter where the total is not known; nothing where there is no terminal.
pub(super) fn bar(word: &'static str, total: Option<u64>) -> ProgressBar {
    let (progress, template) = match total {
        Some(total) => (ProgressBar::new(total), "  {msg} [{bar:40}] {decimal_bytes}/{decimal_total_bytes}"),
        None => (ProgressBar::no_length(), "  {msg} {spinner} {decimal_bytes}"),
    };
    let style = ProgressStyle::with_template(template);
    if let Ok(style) = style {
        progress.set_style(style);
    }
    progress.with_message(word)
}

#[cfg(test)]
mod tests {
    use super::super::cache::{Cache, Place};
    use super::super::release::Part;
    use super::super::unpack::tests::archive;
    use super::*;

    const FILE: &str = "thing-1.0-py3-none-any.whl";
    const PARTS: &[Part] = &[Part { from: "thing/lib/", to: "lib/" }];

    /// Fills a slot from a wheel that `make` writes, pinned to the sum of what `archive` wrote before.
    fn try_install(change: impl FnOnce(&Path)) -> (Result<()>, Vec<String>, String) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let mut pinned = String::new();
        let done = cache.slot("thing").fill(Place::Aside, 0, |tree, scratch| {
            let path = scratch.join(FILE);
            archive(&path, &[("thing/lib/libthing.so", "library")]);
            pinned = sha256::hex(&sha256::of_file(&path, &ProgressBar::hidden())?);
            change(&path);
            let wheel = Wheel {
                requirement: "thing==1.0",
                file: FILE,
                sha256: Box::leak(pinned.clone().into_boxed_str()),
                parts: PARTS,
            };
            install(&[wheel], tree, scratch)
        });
        let names = fs::read_dir(dir.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        (done, names.filter(|name| name != "thing.lock").collect(), pinned)
    }

    #[test]
    fn a_good_wheel_is_installed_and_then_gone() {
        let (done, names, _) = try_install(|_| {});
        done.unwrap();
        assert_eq!(names, ["thing"]);
    }

    #[test]
    fn a_wrong_checksum_leaves_nothing_and_says_both_sums() {
        let (done, names, pinned) = try_install(|path| fs::write(path, "forged").unwrap());
        let text = done.unwrap_err().to_string();
        let found = sha256::hex(&<sha2::Sha256 as sha2::Digest>::digest("forged"));
        assert!(text.contains(&pinned) && text.contains(&found), "{text}");
        assert!(names.is_empty(), "{names:?}");
    }

    #[test]
    fn a_truncated_wheel_leaves_nothing() {
        let (done, names, pinned) = try_install(|path| {
            let whole = fs::read(path).unwrap();
            fs::write(path, &whole[..whole.len() - 10]).unwrap();
        });
        assert!(done.unwrap_err().to_string().contains(&pinned));
        assert!(names.is_empty(), "{names:?}");
    }

    #[test]
    fn a_wheel_that_did_not_come_is_named() {
        let (done, names, _) = try_install(|path| fs::remove_file(path).unwrap());
        let text = done.unwrap_err().to_string();
        assert!(text.contains(FILE) && names.is_empty(), "{text}");
    }

    #[test]
    fn pip_running_out_of_disk_is_told_as_that() {
        let lines = ["ERROR: Could not install: [Errno 28] No space left on device".to_owned()];
        assert!(explain(&lines).to_string().contains("the disk is full"));
        let lines = ["ERROR: No matching distribution found".to_owned(), String::new()];
        assert!(explain(&lines).to_string().contains("No matching distribution found"));
    }
}
