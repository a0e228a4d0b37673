//! The private file by which the ranks of one node find their driver.
//!
//! Rank 0 writes where it listens, and the token, into a file that its user alone can read; the others wait for it. The file's
//! owner holds a lock on it as long as it lives, so what a driver that was killed has left is known by being unlocked.

use std::fs::{DirBuilder, File, Metadata};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use super::engine::stable_hash;
use crate::error::{Error, Result};

/// Rank 0's side: the file stands as long as this lives.
#[derive(Debug)]
pub(crate) struct MeetingFile {
    path: PathBuf,
    /// Locked, until it is closed.
    lock: File,
}

impl MeetingFile {
    /// Writes `contents` where the ranks that know `key` look for it.
    pub(crate) fn host(key: &str, contents: &str) -> Result<Self> {
        Self::host_in(&base(), key, contents)
    }

    fn host_in(base: &Path, key: &str, contents: &str) -> Result<Self> {
        let folder = private_folder(base)?;
        sweep(&folder)?;
        let path = folder.join(file_name(key));
        let action = "write the meeting file of this node's ranks in";
        // Made for its owner alone, and seen under its name only when it is whole and locked.
        let mut file =
            tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&folder).map_err(Error::io(action, &folder))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| Error::io("lock", file.path())(error.into()))?;
        file.write_all(contents.as_bytes()).map_err(Error::io(action, &folder))?;
        let lock = file.persist_noclobber(&path).map_err(|error| match error.error.kind() {
            ErrorKind::AlreadyExists => Error::config(format!(
                "another run of yours on this machine has the meeting point `{key}` ({}): wait for its end, or give this one \
                 another MASTER_PORT or run id",
                path.display()
            )),
            _ => Error::io(action, &folder)(error.error),
        })?;
        Ok(Self { path, lock })
    }

    /// Waits until rank 0 has written, and gives what it wrote.
    pub(crate) fn attend(key: &str, limit: Duration) -> Result<String> {
        Self::attend_in(&base(), key, limit)
    }

    fn attend_in(base: &Path, key: &str, limit: Duration) -> Result<String> {
        const PAUSE: Duration = Duration::from_millis(10);
        let path = private_folder(base)?.join(file_name(key));
        let deadline = Instant::now() + limit;
        loop {
            if let Some(contents) = read(&path)? {
                return Ok(contents);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::channel(format!(
                    "rank 0 has not come within {} s to where the ranks of this node meet (`{key}`, {}): look at its output; it \
                     has to run `fit()`, as the same user, with the same folder for temporary files",
                    limit.as_secs(),
                    path.display()
                )));
            }
            std::thread::sleep(PAUSE.min(left));
        }
    }
}

impl Drop for MeetingFile {
    fn drop(&mut self) {
        // What cannot be removed is swept by the next driver.
        let _ = std::fs::remove_file(&self.path);
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// How names begin of files that are being written.
const UNFINISHED: &str = ".";

fn base() -> PathBuf {
    let of_the_user = |folder: &PathBuf| folder.metadata().is_ok_and(|metadata| is_own_folder(&metadata));
    // Slurm hands on the variable of the machine where the job was submitted, and its folder may be that machine's alone.
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(of_the_user).unwrap_or_else(std::env::temp_dir)
}

fn is_own_folder(metadata: &Metadata) -> bool {
    metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw()
}

/// A name for any key: keys hold what users call their runs. The beginning is for the eye.
fn file_name(key: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let beginning: String = key.chars().take(40).map(plain).collect();
    format!("{beginning}-{:016x}", stable_hash(key))
}

/// This user's folder for meetings, which nobody else can look into.
fn private_folder(base: &Path) -> Result<PathBuf> {
    let folder = base.join(format!("trainloop-{}", rustix::process::geteuid().as_raw()));
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(Error::io("make the folder for meeting files", &folder)(error));
        }
        _ => {}
    }
    let metadata = folder.symlink_metadata().map_err(Error::io("look at", &folder))?;
    if !is_own_folder(&metadata) || metadata.mode() & 0o777 != 0o700 {
        return Err(Error::config(format!(
            "{} is not a folder of this user's alone (it has owner {} and mode {:o}), and ranks cannot meet there: remove it, or \
             set TMPDIR to another folder for all ranks",
            folder.display(),
            metadata.uid(),
            metadata.mode() & 0o7777
        )));
    }
    Ok(folder)
}

/// The contents of a file that its owner holds; `None` where there is none, or a dead driver has left it.
fn read(path: &Path) -> Result<Option<String>> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    if is_left(&file).map_err(Error::io("look at the lock of", path))? {
        return Ok(None);
    }
    let metadata = file.metadata().map_err(Error::io("look at", path))?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o777 != 0o600 || !metadata.is_file()
    {
        return Err(Error::config(format!(
            "{} is not a file of this user's alone (it has owner {} and mode {:o}): remove it",
            path.display(),
            metadata.uid(),
            metadata.mode() & 0o7777
        )));
    }
    let mut contents = String::new();
    file.read_to_string(&mut contents).map_err(Error::io("read", path))?;
    Ok(Some(contents))
}

fn open(path: &Path) -> Result<Option<File>> {
    match rustix::fs::open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
    {
        Ok(file) => Ok(Some(File::from(file))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(Error::io("open", path)(error.into())),
    }
}

/// Whether nobody holds the file. Asked with a shared lock, so that two who ask do not take each other for the owner.
fn is_left(file: &File) -> std::io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes what drivers have left that were killed.
fn sweep(folder: &Path) -> Result<()> {
    for entry in folder.read_dir().map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        // One that is being written may not be locked yet; it holds nothing that anybody looks for.
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            continue;
        }
        let path = entry.path();
        let Some(file) = open(&path)? else { continue };
        if is_left(&file).map_err(Error::io("look at the lock of", &path))? {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io("remove", &path)(error)),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const SOON: Duration = Duration::from_millis(30);
    const LATE: Duration = Duration::from_secs(60);

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn files(base: &Path) -> Vec<PathBuf> {
        private_folder(base).unwrap().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn who_waits_reads_what_rank_0_writes_later() {
        let base = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let waiting: Vec<_> =
                (0..3).map(|_| scope.spawn(|| MeetingFile::attend_in(base.path(), "a/b c", LATE))).collect();
            let file = MeetingFile::host_in(base.path(), "a/b c", "socket\ntoken\n").unwrap();
            for rank in waiting {
                assert_eq!(rank.join().unwrap().unwrap(), "socket\ntoken\n");
            }
            assert_eq!((mode(&file.path), mode(file.path.parent().unwrap())), (0o600, 0o700));
        });
        assert!(files(base.path()).is_empty(), "the file goes with rank 0");
    }

    #[test]
    fn keys_do_not_meet_each_other() {
        let base = tempfile::tempdir().unwrap();
        let long = "x".repeat(300);
        let keys = ["a b", "a-b", "a/b", long.as_str(), &long[1..]];
        let hosts: Vec<_> = keys.iter().map(|key| MeetingFile::host_in(base.path(), key, key).unwrap()).collect();
        for key in keys {
            assert_eq!(MeetingFile::attend_in(base.path(), key, SOON).unwrap(), key);
        }
        drop(hosts);
    }

    #[test]
    fn what_a_killed_driver_left_is_not_taken_and_swept() {
        let base = tempfile::tempdir().unwrap();
        let left = MeetingFile::host_in(base.path(), "key", "old").unwrap();
        // As the system does when it ends a process: the lock goes, the file stays.
        flock(&left.lock, FlockOperation::Unlock).unwrap();
        let error = MeetingFile::attend_in(base.path(), "key", SOON).unwrap_err().to_string();
        assert!(error.contains("rank 0 has not come within 0 s") && error.contains("`key`"), "{error}");

        let other = MeetingFile::host_in(base.path(), "other", "").unwrap();
        assert_eq!(files(base.path()), std::slice::from_ref(&other.path));
        std::mem::forget(left);
        let _new = MeetingFile::host_in(base.path(), "key", "new").unwrap();
        assert_eq!(MeetingFile::attend_in(base.path(), "key", SOON).unwrap(), "new");
    }

    #[test]
    fn two_drivers_do_not_share_a_key() {
        let base = tempfile::tempdir().unwrap();
        let _first = MeetingFile::host_in(base.path(), "env-29500", "first").unwrap();
        let error = MeetingFile::host_in(base.path(), "env-29500", "second").unwrap_err().to_string();
        assert!(error.contains("another run of yours") && error.contains("`env-29500`"), "{error}");
        assert_eq!(MeetingFile::attend_in(base.path(), "env-29500", SOON).unwrap(), "first");
        assert_eq!(files(base.path()).len(), 1, "and nothing half-written is left");
    }

    #[test]
    fn a_folder_that_others_can_look_into_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let folder = private_folder(base.path()).unwrap();
        for wide in [0o750, 0o701, 0o777] {
            set_mode(&folder, wide);
            let error = MeetingFile::host_in(base.path(), "key", "").unwrap_err().to_string();
            assert!(
                error.contains("not a folder of this user's alone") && error.contains(&format!("{wide:o}")),
                "{error}"
            );
            MeetingFile::attend_in(base.path(), "key", SOON).unwrap_err();
        }
        std::fs::remove_dir(&folder).unwrap();
        let elsewhere = base.path().join("elsewhere");
        DirBuilder::new().mode(0o700).create(&elsewhere).unwrap();
        symlink(&elsewhere, &folder).unwrap();
        let error = MeetingFile::host_in(base.path(), "key", "").unwrap_err().to_string();
        assert!(error.contains("not a folder of this user's alone"), "{error}");
        std::fs::remove_file(&folder).unwrap();
        std::fs::write(&folder, "").unwrap();
        MeetingFile::host_in(base.path(), "key", "").unwrap_err();
    }

    #[test]
    fn a_file_that_others_can_write_or_a_link_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let file = MeetingFile::host_in(base.path(), "key", "contents").unwrap();
        set_mode(&file.path, 0o620);
        let error = MeetingFile::attend_in(base.path(), "key", SOON).unwrap_err().to_string();
        assert!(error.contains("not a file of this user's alone") && error.contains("620"), "{error}");
        set_mode(&file.path, 0o600);
        let moved = file.path.with_file_name("moved");
        std::fs::rename(&file.path, &moved).unwrap();
        symlink(&moved, &file.path).unwrap();
        let error = MeetingFile::attend_in(base.path(), "key", SOON).unwrap_err().to_string();
        assert!(error.contains("cannot open"), "{error}");
    }
}
