//! What the rest of this layer needs of a file system: flushed folders, checksums, and a full disk said as such.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::Path;

use crate::error::{Error, Result};

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

/// That there is no room for `path`, and what is still safe.
pub(crate) fn full(path: &Path) -> Error {
    Error::checkpoint(format!(
        "the disk is full: no room for {}; the last committed checkpoint is whole, so make room and resume from it",
        path.display()
    ))
}

/// For `map_err` where something is written.
pub(crate) fn write_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |error| if is_full(error.kind()) { full(path) } else { Error::io(action, path)(error) }
}

/// Makes the names in a folder outlive a power failure.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    match File::open(folder).and_then(|handle| handle.sync_all()) {
        Ok(()) => Ok(()),
        // Some network file systems cannot flush a folder, and say so.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        Err(error) => Err(write_error("flush the folder", folder)(error)),
    }
}

/// Passes bytes on, and counts and hashes them on the way.
pub(crate) struct Hashing<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
    failed: Option<ErrorKind>,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: blake3::Hasher::new(), bytes: 0, failed: None }
    }

    /// Why a write failed, though whoever wrote may have wrapped or dropped the error.
    pub(crate) fn failed(&self) -> Option<ErrorKind> {
        self.failed
    }

    /// The inner writer, how many bytes it took, and their checksum in hexadecimal.
    pub(crate) fn finish(self) -> (W, u64, String) {
        (self.inner, self.bytes, self.hasher.finalize().to_hex().to_string())
    }

    fn noted<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && error.kind() != ErrorKind::Interrupted
        {
            self.failed = Some(error.kind());
        }
        result
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes);
        let written = self.noted(written)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.inner.flush();
        self.noted(flushed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_and_hashed_on_their_way() {
        let mut writer = Hashing::new(Vec::new());
        writer.write_all(b"one ").unwrap();
        writer.write_all(b"two").unwrap();
        let (inner, bytes, checksum) = writer.finish();
        assert_eq!((inner.as_slice(), bytes), (b"one two".as_slice(), 7));
        assert_eq!(checksum, blake3::hash(b"one two").to_hex().as_str());
    }

    #[test]
    fn a_full_disk_is_remembered() {
        let mut writer = Hashing::new(File::options().write(true).open("/dev/full").unwrap());
        writer.write_all(b"x").unwrap_err();
        assert!(is_full(writer.failed().unwrap()));
        let error = full(Path::new("model")).to_string();
        assert!(error.contains("the disk is full") && error.contains("last committed checkpoint is whole"), "{error}");
    }
}
