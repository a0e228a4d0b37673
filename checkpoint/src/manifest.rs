//! `manifest.json`: what a checkpoint is, and every file in it with its size and checksum.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::disk::{FilePoints, Out, write_error};
use crate::error::{Error, Result};
use crate::fault;
use crate::layout::MANIFEST;

mod score;

pub use score::Score;

/// The one format so far.
pub(crate) const FORMAT: u64 = 1;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The key of the manifest's own checksum, the last field: over every byte of the file before this key.
const CHECKSUM: &[u8] = b"\"blake3\"";

const FILE: FilePoints =
    FilePoints { create: fault::MANIFEST_CREATE, write: fault::MANIFEST_WRITE, flush: fault::MANIFEST_FLUSH };

/// A file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Below the checkpoint's folder, with `/` between components.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// 64 hexadecimal digits.
    pub blake3: String,
    /// Who wrote it.
    pub rank: usize,
}

/// What a checkpoint is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the format.
    pub format: u64,
    /// The version that wrote it: one that can read it.
    pub trainloop: String,
    /// Which checkpoint of the run.
    pub index: u64,
    /// Which start of the workers.
    pub generation: u64,
    /// How many ranks there were.
    pub world_size: usize,
    /// How many reports had been made, the one that it came with included.
    pub report: u64,
    /// When it was made, in seconds since 1970.
    pub created_unix: f64,
    /// The run's reduced metrics; a float that JSON cannot write is a string, as in `reports.jsonl`.
    pub metrics: Value,
    /// What it is ranked by.
    pub score: Option<Score>,
    /// Every file but the manifest itself.
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// Reads and checks the manifest of the checkpoint in `dir`; the files themselves are not looked at.
    ///
    /// # Errors
    /// Where it cannot be read, is damaged, or is of a format that only another version reads.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let text = fs::read(&path).map_err(Error::io("read the manifest", &path))?;
        Self::parse(&text).map_err(|reason| Error::checkpoint(format!("{}: {reason}", path.display())))
    }

    /// True where the manifest in `dir` is of a format that only another version reads.
    pub(crate) fn is_foreign(dir: &Path) -> bool {
        let value = fs::read(dir.join(MANIFEST)).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        value.and_then(|value| value.get("format")?.as_u64()).is_some_and(|format| format != FORMAT)
    }

    /// Checks the manifest in `text`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let damaged = |error: serde_json::Error| format!("not a whole manifest: {error}");
        let value: Value = serde_json::from_slice(text).map_err(damaged)?;
        // Before anything else: another format may mean other fields.
        check_format(&value)?;
        let key = text.windows(CHECKSUM.len()).rposition(|bytes| bytes == CHECKSUM).unwrap_or(0);
        let (fields, seal) = text.split_at(key);
        if seal.trim_ascii_end() != seal_of(fields).trim_ascii_end() {
            return Err("changed since it was written: its own checksum does not hold".into());
        }
        let manifest: Self = serde_json::from_value(value).map_err(damaged)?;
        manifest.check()?;
        Ok(manifest)
    }

    pub(crate) fn to_text(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec_pretty(self).map(sealed)
    }

    /// Writes the manifest into `dir` and flushes it; there must be none yet.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MANIFEST);
        self.check().map_err(|reason| Error::checkpoint(format!("{}: {reason}", path.display())))?;
        let text = self.to_text().map_err(|error| Error::serde("write a checkpoint's manifest", error))?;
        Out::create_new(&path, FILE)
            .and_then(|mut file| {
                file.write_all(&text)?;
                file.flush_to_disk()
            })
            .map_err(write_error("write the manifest", &path))
    }

    /// Denies what cannot be true of any checkpoint, and every path that would lead out of the folder.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut seen = HashSet::new();
        for FileEntry { path, blake3, rank, .. } in &self.files {
            check_path(path)?;
            if !seen.insert(path) {
                return Err(format!("the file `{path}` is listed twice"));
            }
            if blake3.len() != 64 || !blake3.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(format!("the checksum of the file `{path}` is not one: `{blake3}`"));
            }
            if *rank >= self.world_size {
                return Err(format!("the file `{path}` is of rank {rank} of {}", self.world_size));
            }
        }
        if self.world_size == 0 {
            return Err("a world size of 0".into());
        }
        Ok(())
    }
}

/// Pretty JSON of an object, with the checksum as one more field.
pub(crate) fn sealed(mut object: Vec<u8>) -> Vec<u8> {
    object.truncate(object.trim_ascii_end().len().saturating_sub("\n}".len()));
    object.extend_from_slice(b",\n  ");
    let seal = seal_of(&object);
    object.extend_from_slice(&seal);
    object
}

/// How a manifest ends whose text so far is `fields`.
fn seal_of(fields: &[u8]) -> Vec<u8> {
    format!("\"blake3\": \"{}\"\n}}\n", blake3::hash(fields).to_hex()).into_bytes()
}

fn check_format(manifest: &Value) -> Result<(), String> {
    match manifest.get("format").and_then(Value::as_u64) {
        Some(FORMAT) => Ok(()),
        Some(format) => {
            let writer = manifest.get("trainloop").and_then(Value::as_str).unwrap_or("of an unknown version");
            Err(format!(
                "format {format}, which trainloop {writer} wrote and can read; this is trainloop {VERSION}, which reads \
                 format {FORMAT}"
            ))
        }
        None => Err("not a whole manifest: no format".into()),
    }
}

/// Denies a path that is not simply below the checkpoint's folder.
pub(crate) fn check_path(path: &str) -> Result<(), String> {
    let reason = if path == MANIFEST {
        "that name is the checkpoint's own"
    } else if path.contains('\\') {
        "a backslash separates folders on some systems"
    } else if path.contains('\0') {
        "it has a zero byte"
    } else if path.starts_with('/') {
        "it is absolute"
    } else if path.split('/').any(str::is_empty) {
        "a component is empty"
    } else if path.split('/').any(|component| component == "." || component == "..") {
        "`.` and `..` are not names"
    } else {
        return Ok(());
    };
    Err(format!("the file `{}` cannot be in a checkpoint: {reason}", path.escape_debug()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest() -> Manifest {
        let entry = |path: &str, rank| FileEntry {
            path: path.into(),
            bytes: 3,
            blake3: blake3::hash(path.as_bytes()).to_hex().to_string(),
            rank,
        };
        Manifest {
            format: FORMAT,
            trainloop: VERSION.into(),
            index: 3,
            generation: 1,
            world_size: 2,
            report: 7,
            created_unix: 1_700_000_000.123_456_7,
            metrics: json!({"loss": "NaN", "small": 1e-308, "one": 1.0, "big": u64::MAX, "zero": -0.0}),
            score: Some(Score(f64::NEG_INFINITY)),
            files: vec![entry("model", 0), entry("rank-1/manifest.json", 1)],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let written = manifest();
        written.write(dir.path()).unwrap();
        let read = Manifest::read(dir.path()).unwrap();
        assert_eq!(read.to_text().unwrap(), written.to_text().unwrap());
        assert_eq!(read.files, written.files);
        let error = crate::error::with_causes(&written.write(dir.path()).unwrap_err());
        assert!(error.contains("manifest.json") && error.contains("exists"), "{error}");
    }

    type Change = fn(&mut Manifest);

    #[test]
    fn nonsense_is_denied_by_name() {
        let paths = ["", "/etc/passwd", "a//b", "a/", "../a", "a/../b", "./a", "a\\b", "a\0", MANIFEST];
        for path in paths {
            let mut manifest = manifest();
            manifest.files[0].path = path.into();
            let error = Manifest::parse(&manifest.to_text().unwrap()).unwrap_err();
            assert!(error.contains(&path.escape_debug().to_string()), "{path:?}: {error}");
            manifest.write(tempfile::tempdir().unwrap().path()).unwrap_err();
        }
        let changes: [(&str, Change); 4] = [
            ("`model` is listed twice", |manifest| manifest.files[1].path = "model".into()),
            ("checksum of the file `model`", |manifest| manifest.files[0].blake3 = "abc".into()),
            ("rank 2 of 2", |manifest| manifest.files[1].rank = 2),
            ("world size of 0", |manifest| {
                manifest.world_size = 0;
                manifest.files.clear();
            }),
        ];
        for (expected, change) in changes {
            let mut manifest = manifest();
            change(&mut manifest);
            let error = Manifest::parse(&manifest.to_text().unwrap()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn another_format_says_which_version_reads_it() {
        let newer = json!({"format": 2, "trainloop": "0.9.1", "files": {}}).to_string();
        let error = Manifest::parse(newer.as_bytes()).unwrap_err();
        assert!(error.contains("format 2, which trainloop 0.9.1 wrote"), "{error}");
        assert!(error.contains(&format!("this is trainloop {VERSION}, which reads format 1")), "{error}");
    }

    #[test]
    fn a_field_of_a_later_version_is_passed_over() {
        let mut value = serde_json::to_value(manifest()).unwrap();
        value["later"] = json!([1, 2]);
        let text = sealed(serde_json::to_vec_pretty(&value).unwrap());
        assert_eq!(Manifest::parse(&text).unwrap().index, 3);
    }

    #[test]
    fn an_edited_number_is_seen() {
        let text = String::from_utf8(manifest().to_text().unwrap()).unwrap();
        let edits = [
            ("\"generation\": 1", "\"generation\": 2"),
            // Another text, though the same value.
            ("\"one\": 1.0", "\"one\": 1.00"),
            ("\"\n}\n", "\",\n\"generation\": 2}\n"),
        ];
        for (from, to) in edits {
            let edited = text.replace(from, to);
            assert_ne!(edited, text);
            let error = Manifest::parse(edited.as_bytes()).unwrap_err();
            assert!(error.contains("changed since it was written"), "{error}");
        }
    }
}
