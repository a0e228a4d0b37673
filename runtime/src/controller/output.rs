//! What a worker prints: kept in its log, shown with its rank before each line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::log::{Console, Stream};

/// How many lines of its log a failure shows.
const TAIL_LINES: usize = 20;

/// A line longer than this is shown in pieces: a stream without line ends must not fill the driver's memory.
const MAX_LINE: usize = 64 * 1024;

/// One rank's log.
pub(super) struct RankLog {
    rank: usize,
    path: PathBuf,
    /// `None` where nothing is printed through the driver.
    file: Option<File>,
    tail: VecDeque<String>,
    partial: [Vec<u8>; 2],
}

impl RankLog {
    pub(super) fn create(rank: usize, path: PathBuf) -> Result<Self> {
        let file = File::options().create(true).append(true).open(&path).map_err(Error::io("create the log", &path))?;
        Ok(Self { file: Some(file), ..Self::elsewhere(rank, path) })
    }

    /// That of a rank whose output goes elsewhere.
    pub(super) fn elsewhere(rank: usize, path: PathBuf) -> Self {
        Self { rank, path, file: None, tail: VecDeque::new(), partial: [Vec::new(), Vec::new()] }
    }

    /// Takes bytes of one of the worker's streams; whole lines are shown, and written as they are.
    pub(super) fn take(&mut self, stream: Stream, bytes: &[u8], console: &Console) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.partial[stream as usize].extend_from_slice(line);
            self.end_line(stream, console);
            rest = &after[1..];
        }
        self.partial[stream as usize].extend_from_slice(rest);
        if self.partial[stream as usize].len() > MAX_LINE {
            self.end_line(stream, console);
        }
    }

    /// The stream's end: what has no line end is a line all the same.
    pub(super) fn end(&mut self, stream: Stream, console: &Console) {
        if !self.partial[stream as usize].is_empty() {
            self.end_line(stream, console);
        }
    }

    fn end_line(&mut self, stream: Stream, console: &Console) {
        let mut bytes = std::mem::take(&mut self.partial[stream as usize]);
        let line = String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned();
        bytes.push(b'\n');
        if let Some(Err(error)) = self.file.as_mut().map(|file| file.write_all(&bytes)) {
            tracing::warn!("cannot write {}: {error}", self.path.display());
        }
        console.worker_line(self.rank, stream, &line);
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    pub(super) fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }
}
