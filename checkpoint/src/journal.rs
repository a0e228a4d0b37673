//! `journal.jsonl`: what became of the run's checkpoints, a line each, in order.
//!
//! A line counts when it ends with a line feed and can be read. A last line that does not is what a crash left; it is passed
//! over, and cut off before the next is written.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::disk::{FilePoints, Out, sync_folder, write_error};
use crate::error::{Error, Result};
use crate::fault;
use crate::layout::journal_file;
use crate::manifest::{Manifest, Score};

const FILE: FilePoints =
    FilePoints { create: fault::JOURNAL_OPEN, write: fault::JOURNAL_WRITE, flush: fault::JOURNAL_FLUSH };

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// A checkpoint exists.
    Commit { index: u64, generation: u64, unix_time: f64, world_size: usize, metrics: Value, score: Option<Score> },
    /// A checkpoint is no more.
    Delete { index: u64 },
    /// An event of a later version.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl Event {
    pub(crate) fn commit(manifest: &Manifest) -> Self {
        Self::Commit {
            index: manifest.index,
            generation: manifest.generation,
            unix_time: manifest.created_unix,
            world_size: manifest.world_size,
            metrics: manifest.metrics.clone(),
            score: manifest.score,
        }
    }
}

/// Every event, oldest first; none where there is no journal. A line cut short at the end is passed over and told to
/// `warn`.
///
/// # Errors
///
/// Where the journal cannot be read, or a line in its middle is damaged.
pub(crate) fn read(run: &Path, warn: &mut dyn FnMut(String)) -> Result<Vec<Event>> {
    let path = journal_file(run);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read the journal", &path)(error)),
    };
    parse(&text, &path, warn)
}

/// [`read`], of the text of the journal at `path`.
pub(crate) fn parse(text: &[u8], path: &Path, warn: &mut dyn FnMut(String)) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut lines = text.split_inclusive(|&byte| byte == b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        match whole(line) {
            Ok(event) => events.push(event),
            Err(reason) if lines.peek().is_none() => {
                warn(format!("{}, line {number}: passed over, as it is not whole: {reason}", path.display()));
            }
            Err(reason) => {
                return Err(Error::checkpoint(format!("{}, line {number}: damaged: {reason}", path.display())));
            }
        }
    }
    Ok(events)
}

/// Appends an event; it is on the disk when this returns.
///
/// # Errors
///
/// Where it cannot be written; the journal is then as it was, as far as the disk allows.
pub(crate) fn append(run: &Path, event: &Event) -> Result<()> {
    let path = journal_file(run);
    let mut line = serde_json::to_vec(event).map_err(|error| Error::serde("write to the journal", error))?;
    line.push(b'\n');
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("read the journal", &path)(error)),
    };
    let end = whole_length(&text) as u64;

    let write = |error| write_error("write to the journal", &path)(error);
    let mut file = Out::open(&path, FILE).map_err(write)?;
    let appended = (|| {
        file.cut(end, fault::JOURNAL_CUT)?;
        file.write_all(&line)?;
        file.flush_to_disk()
    })();
    if let Err(error) = appended {
        let _ = file.cut(end, fault::JOURNAL_UNDO);
        return Err(write(error));
    }
    // The first line makes the file.
    if end == 0 { sync_folder(run, fault::JOURNAL_FLUSH_FOLDER) } else { Ok(()) }
}

/// How many bytes of the journal are to stay: all but a last line that is not whole.
pub(crate) fn whole_length(text: &[u8]) -> usize {
    let last = text.split_inclusive(|&byte| byte == b'\n').next_back().unwrap_or_default();
    if whole(last).is_ok() { text.len() } else { text.len() - last.len() }
}

fn whole(line: &[u8]) -> Result<Event, String> {
    let line = line.strip_suffix(b"\n").ok_or("the line is cut short")?;
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use serde_json::json;

    use super::*;
    use crate::fixture::scratch;

    fn event(index: u64, score: f64) -> Event {
        let metrics = json!({"loss": "NaN", "accuracy": 0.1});
        Event::Commit { index, generation: 2, unix_time: 1.5, world_size: 4, metrics, score: Some(Score(score)) }
    }

    fn read_all(run: &Path) -> (Result<Vec<Event>>, Vec<String>) {
        let mut warnings = Vec::new();
        let events = read(run, &mut |warning| warnings.push(warning));
        (events, warnings)
    }

    #[test]
    fn events_are_read_back_in_order() {
        let run = scratch();
        assert_eq!(read_all(run.path()).0.unwrap(), []);
        let events = [event(1, 0.5), event(2, f64::NEG_INFINITY), Event::Delete { index: 1 }];
        for event in &events {
            append(run.path(), event).unwrap();
        }
        assert_eq!(read_all(run.path()).0.unwrap(), events);
        let text = fs::read_to_string(journal_file(run.path())).unwrap();
        let first = r#"{"event":"commit","index":1,"generation":2,"unix_time":1.5,"world_size":4,"#;
        assert!(text.starts_with(first) && text.ends_with("{\"event\":\"delete\",\"index\":1}\n"), "{text}");
    }

    #[test]
    fn a_journal_cut_anywhere_keeps_its_whole_lines_and_goes_on() {
        let run = scratch();
        let path = journal_file(run.path());
        append(run.path(), &event(1, 0.5)).unwrap();
        let first = fs::read(&path).unwrap().len();
        append(run.path(), &event(2, f64::NAN)).unwrap();
        let text = fs::read(&path).unwrap();
        for cut in 0..text.len() {
            fs::write(&path, &text[..cut]).unwrap();
            let kept = usize::from(cut >= first);
            let (events, warnings) = read_all(run.path());
            assert_eq!(events.unwrap(), vec![event(1, 0.5); kept], "cut at {cut}");
            let line = format!("journal.jsonl, line {}", kept + 1);
            let is_torn = cut != 0 && cut != first;
            assert_eq!(warnings.len(), usize::from(is_torn), "cut at {cut}: {warnings:?}");
            assert!(warnings.iter().all(|warning| warning.contains(&line)), "{warnings:?}");

            append(run.path(), &Event::Delete { index: 9 }).unwrap();
            let (events, warnings) = read_all(run.path());
            assert_eq!(events.unwrap().len(), kept + 1, "cut at {cut}");
            assert_eq!(warnings, [""; 0]);
        }
    }

    #[test]
    fn a_damaged_line_is_named_and_appending_goes_on() {
        let run = scratch();
        let path = journal_file(run.path());
        let delete = |index| append(run.path(), &Event::Delete { index }).unwrap();
        delete(1);
        File::options().append(true).open(&path).unwrap().write_all(b"\xff\0{\n").unwrap();
        assert_eq!(read_all(run.path()).0.unwrap().len(), 1);
        // The last line, though it ends: cut off, as the pages of one write may reach the disk in any order.
        delete(2);
        assert_eq!(read_all(run.path()).0.unwrap().len(), 2);

        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("index", "indax", 1)).unwrap();
        delete(3);
        let error = read_all(run.path()).0.unwrap_err().to_string();
        assert!(error.contains("journal.jsonl, line 1: damaged"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    }

    #[test]
    fn an_event_of_a_later_version_is_passed_over() {
        let run = scratch();
        fs::write(journal_file(run.path()), "{\"event\":\"pin\",\"index\":1}\n{\"event\":\"delete\",\"index\":1}\n")
            .unwrap();
        assert_eq!(read_all(run.path()).0.unwrap(), [Event::Unknown, Event::Delete { index: 1 }]);
    }
}
