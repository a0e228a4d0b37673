//! What the rest of this layer needs of a file system: every change of it goes through here and past its
//! [fault point](crate::fault); flushed folders, checksums, and a disk that is full, read-only or failing said as such.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::path::Path;

use rustix::io::Errno;

use crate::early::EarlyFlush;
use crate::error::{Error, Result};
use crate::fault::{self, Point};

/// What reaches a file and the hasher at once: large enough for both to be quick.
pub(crate) const BUFFER: usize = 1 << 20;

/// For `io::copy`, which takes over a reader's buffer.
pub(crate) fn buffered(file: File) -> BufReader<File> {
    BufReader::with_capacity(BUFFER, file)
}

/// True where there is no room left, on the disk or for this user.
pub(crate) fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// What the disk itself is to blame for: what that is, what is still safe, and what to do. `None` for other reasons.
fn trouble(action: &str, path: &Path, error: &io::Error) -> Option<Error> {
    const SAFE: &str = "the last committed checkpoint is whole, so";
    let path = path.display();
    let message = if is_full(error.kind()) {
        format!("the disk is full: no room for {path}; {SAFE} make room and resume from it")
    } else if error.kind() == ErrorKind::ReadOnlyFilesystem {
        format!(
            "the disk is read-only: cannot {action} {path}: {error}; {SAFE} make the disk writable, or copy the run to \
             another, and resume from it (a system that finds errors on a disk makes it read-only: its log has them)"
        )
    } else if error.raw_os_error() == Some(Errno::IO.raw_os_error()) {
        format!(
            "the disk fails: cannot {action} {path}: {error}; {SAFE} look into the system's log for the disk's errors, copy \
             the run to another, and resume from it"
        )
    } else {
        return None;
    };
    Some(Error::checkpoint(message))
}

/// For `map_err` where something is changed.
pub(crate) fn write_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |error| trouble(action, path, &error).unwrap_or_else(|| Error::io(action, path)(error))
}

/// [`write_error`] for a failure of which only what [`Hashed::failed`](crate::hashed::Hashed::failed) kept is left, if the disk itself is to blame.
pub(crate) fn disk_trouble(action: &'static str, path: &Path, failure: Failure) -> Option<Error> {
    trouble(action, path, &failure.into())
}

/// Makes a folder and its parents, where there are none.
pub(crate) fn create_folders(folder: &Path, at: Point) -> io::Result<()> {
    fault::operation(at)?;
    fs::create_dir_all(folder)
}

/// The points of a file that is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilePoints {
    pub(crate) create: Point,
    pub(crate) write: Point,
    pub(crate) flush: Point,
}

/// A file that is written.
#[derive(Debug)]
pub(crate) struct Out {
    file: File,
    early: EarlyFlush,
    at: FilePoints,
}

impl Out {
    /// A new file; an error where there is one.
    pub(crate) fn create_new(path: &Path, at: FilePoints) -> io::Result<Self> {
        fault::operation(at.create)?;
        Ok(Self::new(File::create_new(path)?, at))
    }

    /// A file that may be there already.
    pub(crate) fn open(path: &Path, at: FilePoints) -> io::Result<Self> {
        fault::operation(at.create)?;
        Ok(Self::new(File::options().create(true).write(true).truncate(false).open(path)?, at))
    }

    fn new(file: File, at: FilePoints) -> Self {
        Self { file, early: EarlyFlush::default(), at }
    }

    /// Drops what is behind `end`, and writes on from there.
    pub(crate) fn cut(&mut self, end: u64, at: Point) -> io::Result<()> {
        fault::operation(at)?;
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end)).map(drop)
    }

    /// What was written outlives a power failure when this returns.
    pub(crate) fn flush_to_disk(&mut self) -> io::Result<()> {
        fault::operation(self.at.flush)?;
        self.early.finish()?;
        self.file.sync_all()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(strike) = fault::strike(self.at.write) {
            self.file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(strike.happen());
        }
        let written = self.file.write(bytes)?;
        self.early.wrote(&self.file, written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Gives a folder another name, in one instant.
pub(crate) fn rename(from: &Path, to: &Path, at: Point) -> io::Result<()> {
    fault::operation(at)?;
    fs::rename(from, to)
}

/// Removes a folder with all that is in it.
pub(crate) fn remove_folder(folder: &Path, at: Point) -> io::Result<()> {
    if let Some(strike) = fault::strike(at) {
        // Half of it is gone.
        if let Some(Ok(first)) = fs::read_dir(folder).ok().and_then(|mut entries| entries.next()) {
            let _ = fs::remove_file(first.path()).or_else(|_| fs::remove_dir_all(first.path()));
        }
        return Err(strike.happen());
    }
    fs::remove_dir_all(folder)
}

/// Removes a file.
pub(crate) fn remove_file(file: &Path, at: Point) -> io::Result<()> {
    fault::operation(at)?;
    fs::remove_file(file)
}

/// Makes the names in a folder outlive a power failure.
pub(crate) fn sync_folder(folder: &Path, at: Point) -> Result<()> {
    match fault::operation(at).and_then(|()| File::open(folder)?.sync_all()) {
        Ok(()) => Ok(()),
        // Some network file systems cannot flush a folder, and say so.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        Err(error) => Err(write_error("flush the folder", folder)(error)),
    }
}

/// What is kept of an error that was passed on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    kind: ErrorKind,
    code: Option<i32>,
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        Self { kind: error.kind(), code: error.raw_os_error() }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        failure.code.map_or_else(|| failure.kind.into(), Self::from_raw_os_error)
    }
}
