//! What the cache asks of the disk: folders made and removed, data flushed, and room enough.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::statvfs;

use crate::failure::{Doing, Failure, Result};

/// Makes a folder and those above it.
pub(super) fn create(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| {
        let what = format!("cannot make the folder {}", path.display());
        if error.kind() == io::ErrorKind::StorageFull {
            return Failure::disk_full(what);
        }
        Failure::new(format!("{what}: {error}\n  name one that you may write to in TRAINLOOP_CACHE"))
    })
}

/// Removes a folder, if it is there, with all in it.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Everything to disk before the marker says so.
pub(super) fn flush(path: &Path) -> Result<()> {
    let what = || format!("cannot flush {}", path.display());
    let dir = File::open(path).doing(what)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&dir).doing(what)?;
    #[cfg(not(target_os = "linux"))]
    dir.sync_all().doing(what)?;
    Ok(())
}

/// Better said before the download than after it.
pub(super) fn check_room(path: &Path, room: u64) -> Result<()> {
    let stat = statvfs(path).doing(|| format!("cannot ask for the free space of {}", path.display()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free >= room {
        return Ok(());
    }
    Err(Failure::new(format!(
        "too little space in {}: {:.1} GB are needed, {:.1} GB are free\n  \
         free some, or name a folder on another disk in TRAINLOOP_CACHE",
        path.display(),
        gigabytes(room),
        gigabytes(free)
    )))
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
