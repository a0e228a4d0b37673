//! `cargo xtask setup`: a libtorch that fits, and the link `.libtorch` to it.
//!
//! The order is: what the user names (`LIBTORCH`, then `LIBTORCH_USE_PYTORCH`), the link that is there
//! already, the user's cache, and only then a download.

mod cache;
mod compiler;
mod cpu_zip;
mod disk;
mod libtorch;
mod link;
mod pick;
mod python;
mod release;
mod sha256;
mod unpack;
mod wheels;

use std::env;
use std::path::{Path, PathBuf};

use crate::cargo;
use crate::failure::{Result, fail};

pub(crate) use cache::{Cache, Place, Slot};
pub(crate) use python::python3;
pub(crate) use release::{Release, WANTED as RELEASE, another, of_series};

use libtorch::Libtorch;

/// Find or fetch libtorch, and link `.libtorch` to it.
///
/// `LIBTORCH=<folder>` names one; `LIBTORCH_USE_PYTORCH=1` takes that of python3's torch. Otherwise the
/// link that is there stays (remove it to choose anew), or the CPU build is fetched once into the user's
/// cache: `$TRAINLOOP_CACHE`, else `$XDG_CACHE_HOME/trainloop`, else `~/.cache/trainloop`.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn main(_: &Args) -> Result<()> {
    let ready = ensure(&cargo::root()?)?;
    println!("{}", ready.line());
    Ok(())
}

/// What `.libtorch` leads to.
pub(crate) struct Ready {
    libtorch: Libtorch,
    source: &'static str,
}

impl Ready {
    fn line(&self) -> String {
        format!("libtorch {} ({}): {}", self.libtorch.version, self.source, self.libtorch.path.display())
    }
}

/// Puts libtorch in place; says something only when there was something to do.
pub(crate) fn ensure(root: &Path) -> Result<Ready> {
    compiler::check()?;
    let wish = Wish::of_user(root);
    let ready = pick::pick(root, &wish, || fetch(&Cache::of_user()?, &RELEASE))?;
    let before = link::read(root);
    if link::point(root, &ready.libtorch.path)? {
        eprintln!("{} now leads to {}", link::NAME, ready.libtorch.path.display());
        if matches!(before, link::Link::To(_)) {
            forget_builds(root);
        }
    }
    Ok(ready)
}

/// What the user asked for by environment variables.
#[derive(Default)]
struct Wish {
    libtorch: Option<PathBuf>,
    pytorch: bool,
}

impl Wish {
    fn of_user(root: &Path) -> Self {
        // Cargo's configuration sets LIBTORCH to the link itself for whatever cargo starts: no wish of the user's.
        let own = root.join(link::NAME);
        let libtorch =
            env::var_os("LIBTORCH").filter(|value| !value.is_empty() && Path::new(value) != own).map(PathBuf::from);
        Self { libtorch, pytorch: env::var_os("LIBTORCH_USE_PYTORCH").is_some() }
    }
}

/// A release's folder in the user's cache, fetched if it is not there; `.libtorch` is left alone.
pub(crate) fn cached(release: &Release) -> Result<PathBuf> {
    compiler::check()?;
    fetch(&Cache::of_user()?, release)
}

/// [`cached`] with CUDA: to compile and link against, not to run.
pub(crate) fn cached_cuda(release: &Release) -> Result<PathBuf> {
    compiler::check()?;
    fill(&Cache::of_user()?, release, "cuda", release.cuda_room, |tree, scratch| {
        wheels::fetch(release.cuda_wheels, tree, scratch)
    })
}

/// The cache's libtorch, downloaded if it is not there.
fn fetch(cache: &Cache, release: &Release) -> Result<PathBuf> {
    fill(cache, release, "cpu", release.room, |tree, scratch| {
        if let cpu_zip::Fetched::Unreachable(why) = cpu_zip::fetch(release, tree, scratch)? {
            eprintln!("  not to be had from PyTorch's server ({why}): taking it from PyTorch's wheel, by pip");
            wheels::fetch(release.wheels, tree, scratch)?;
        }
        Ok(())
    })
}

/// The slot of one build of a release, filled by `fetch` where it is not whole.
fn fill(
    cache: &Cache,
    release: &Release,
    build: &str,
    room: u64,
    fetch: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<PathBuf> {
    let slot = cache.slot(&format!("libtorch-{}-{build}", release.version));
    if slot.is_whole() {
        return Ok(slot.path().to_owned());
    }
    check_platform(env::consts::OS, env::consts::ARCH, cfg!(target_env = "gnu"), release)?;
    slot.fill(Place::Aside, room, |tree, scratch| {
        eprintln!("fetching libtorch {} into {}", release.version, slot.path().display());
        fetch(tree, scratch)?;
        let libtorch = Libtorch::inspect(tree)?;
        libtorch.require(release, "what was downloaded")?;
        libtorch.write_build_version()
    })?;
    Ok(slot.path().to_owned())
}

/// Ready-made builds exist for few platforms; elsewhere the user brings one.
fn check_platform(os: &str, arch: &str, gnu: bool, release: &Release) -> Result<()> {
    if os == "linux" && arch == "x86_64" && gnu {
        return Ok(());
    }
    let libc = if gnu || os != "linux" { "" } else { " without glibc" };
    fail(format!(
        "there is no libtorch to download for {os} on {arch}{libc}: only for Linux on x86_64 with glibc\n  \
         set LIBTORCH to the folder of a libtorch {} that you have, or LIBTORCH_USE_PYTORCH=1 to use python3's torch",
        release.series()
    ))
}

/// Removes what was compiled against the libtorch before: to cargo the path is the same, so it would stay.
fn forget_builds(root: &Path) {
    for profile in ["dev", "release"] {
        let mut command = cargo::cargo(root);
        command.args(["clean", "--quiet", "--profile", profile]);
        command.args(["--package", "torch-sys", "--package", "trainloop-c10d"]);
        if let Err(failure) = cargo::run(&mut command) {
            eprintln!(
                "  {failure}\n  run `cargo clean`: what is in the target folder was built against the former libtorch"
            );
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_platforms_are_told_to_bring_their_own() {
        assert!(check_platform("linux", "x86_64", true, &RELEASE).is_ok());
        for (os, arch, gnu) in [("macos", "aarch64", false), ("linux", "aarch64", true), ("linux", "x86_64", false)] {
            let text = check_platform(os, arch, gnu, &RELEASE).unwrap_err().to_string();
            assert!(text.contains(os) && text.contains("set LIBTORCH"), "{text}");
        }
    }
}
