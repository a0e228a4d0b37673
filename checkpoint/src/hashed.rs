//! A file that is hashed while it is written: where it is large by a thread of its own, so that the disk need not wait.

use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::disk::{BUFFER, Failure};

/// Full buffers that may wait for the hasher: the memory that a file takes on its way is so many and two more.
const WAITING: usize = 2;

/// Collects what is written into buffers, each of which goes to `out` and is hashed.
pub(crate) struct Hashed<W> {
    out: W,
    buffer: Vec<u8>,
    hasher: Hasher,
    bytes: u64,
    failed: Option<Failure>,
}

enum Hasher {
    Here(Box<blake3::Hasher>),
    There(Thread),
}

struct Thread {
    full: SyncSender<Vec<u8>>,
    /// Buffers that can be used again.
    empty: Receiver<Vec<u8>>,
    handle: JoinHandle<blake3::Hasher>,
}

impl<W: Write> Hashed<W> {
    pub(crate) fn new(out: W) -> Self {
        let hasher = Hasher::Here(Box::default());
        Self { out, buffer: Vec::with_capacity(BUFFER), hasher, bytes: 0, failed: None }
    }

    /// Why a write failed, though whoever wrote may have wrapped or dropped the error.
    pub(crate) fn failed(&self) -> Option<Failure> {
        self.failed
    }

    /// Where the bytes went, once they are [flushed](Write::flush).
    pub(crate) fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// How many bytes were written, and their checksum in hexadecimal.
    pub(crate) fn finish(mut self) -> io::Result<(u64, String)> {
        self.spill()?;
        let hasher = match self.hasher {
            Hasher::Here(hasher) => *hasher,
            Hasher::There(Thread { full, handle, .. }) => {
                drop(full);
                handle.join().map_err(|_| io::Error::other("the thread that hashes has panicked"))?
            }
        };
        Ok((self.bytes, hasher.finalize().to_hex().to_string()))
    }

    /// Writes the buffer out and has it hashed.
    fn spill(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.out.write_all(&self.buffer) {
            self.failed = Some(Failure::from(&error));
            return Err(error);
        }
        self.bytes += self.buffer.len() as u64;
        let is_large = self.buffer.len() == BUFFER;
        if let (true, Hasher::Here(hasher)) = (is_large, &mut self.hasher)
            && let Ok(thread) = Thread::start(std::mem::take(hasher))
        {
            self.hasher = Hasher::There(thread);
        }
        match &mut self.hasher {
            Hasher::Here(hasher) => {
                hasher.update(&self.buffer);
                self.buffer.clear();
            }
            Hasher::There(thread) => {
                let next = thread.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BUFFER));
                let full = std::mem::replace(&mut self.buffer, next);
                // It ends only when this sender is gone.
                thread.full.send(full).map_err(|_| ErrorKind::BrokenPipe)?;
            }
        }
        Ok(())
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == BUFFER {
            self.spill()?;
        }
        let taken = bytes.len().min(BUFFER - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.spill()?;
        self.out.flush()
    }
}

impl Thread {
    fn start(mut hasher: Box<blake3::Hasher>) -> io::Result<Self> {
        let (full, buffers) = sync_channel::<Vec<u8>>(WAITING);
        let (used, empty) = sync_channel(WAITING + 2);
        let handle = std::thread::Builder::new().name("hash".to_owned()).spawn(move || {
            for mut buffer in buffers {
                hasher.update(&buffer);
                buffer.clear();
                let _ = used.try_send(buffer);
            }
            *hasher
        })?;
        Ok(Self { full, empty, handle })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use super::*;
    use crate::disk::disk_trouble;

    /// Of any length around those at which a buffer is full and a thread begins, in pieces of any size.
    #[test]
    fn bytes_are_counted_and_hashed_on_their_way() {
        let content: Vec<u8> = (0..5 * BUFFER + 3).map(|place| (place * 7 % 251) as u8).collect();
        for length in [0, 7, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 5 * BUFFER, 5 * BUFFER + 3] {
            for piece in [1000, BUFFER, 3 * BUFFER / 2] {
                let content = &content[..length];
                let mut hashed = Hashed::new(Vec::new());
                content.chunks(piece).for_each(|piece| hashed.write_all(piece).unwrap());
                hashed.flush().unwrap();
                assert!(hashed.out() == content, "{length} in pieces of {piece}");
                let (bytes, checksum) = hashed.finish().unwrap();
                assert_eq!((bytes, checksum.as_str()), (length as u64, blake3::hash(content).to_hex().as_str()));
            }
        }
    }

    #[test]
    fn a_full_disk_is_remembered() {
        let mut hashed = Hashed::new(File::options().write(true).open("/dev/full").unwrap());
        hashed.write_all(b"x").unwrap();
        hashed.flush().unwrap_err();
        let error = disk_trouble("write", Path::new("model"), hashed.failed().unwrap()).unwrap().to_string();
        assert!(error.contains("the disk is full") && error.contains("last committed checkpoint is whole"), "{error}");
    }
}
