//! Metrics for `TensorBoard`.

mod event;
mod record;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use prost::Message;
use trainloop_checkpoint::unix_now;

use self::event::{Event, Summary, Value};
use super::{Logged, Rewind, Scalar, Tracker};
use crate::callback::RunInfo;
use crate::error::{Error, Result};

/// Event files for [TensorBoard](https://www.tensorflow.org/tensorboard): `tensorboard/` in the run's folder, so that
/// `tensorboard --logdir runs` shows all runs of a storage side by side.
///
/// Numbers are scalars, in float32 as `TensorBoard` has them; texts, and the config as a table under `config`, are texts.
///
/// Where a run goes on, a new event file begins, as from PyTorch's `SummaryWriter(purge_step=…)`: its first event is a
/// `SessionLog` that has the reader drop everything from the first step that comes again; what of that stands after all
/// follows it.
#[derive(Debug, Default)]
pub struct TensorBoard {
    chosen: Option<PathBuf>,
    folder: PathBuf,
    writer: Option<Writer>,
    has_config: bool,
}

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    file: File,
}

/// How event files' names begin; `TensorBoard` reads them in the order of their names, in which the time comes next.
const PREFIX: &str = "events.out.tfevents.";
/// The tag of the config.
const CONFIG: &str = "config";
/// What an event is of, if it is no report.
const LOG: &str = "log";

impl TensorBoard {
    /// In the run's folder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// In that folder, which is this run's alone. A run in object storage has its own in the user's cache, so there this is
    /// the way to a place of one's own.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.chosen = Some(folder.into());
        self
    }

    fn write(&mut self, step: u64, value: Vec<Value>) -> Result<()> {
        let (Some(writer), false) = (&mut self.writer, value.is_empty()) else { return Ok(()) };
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        writer.append(&Event { wall_time: unix_now(), step, summary: Some(Summary { value }), ..Event::default() })
    }
}

impl Writer {
    /// A file that comes after those that are there.
    fn create(folder: &Path, before: &[PathBuf]) -> Result<Self> {
        let last = before.iter().filter_map(|path| second(path)).max().map_or(0, |last| last + 1);
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = if host.trim().is_empty() { "localhost" } else { host.trim() };
        let second = last.max(unix_now() as u64);
        let path = folder.join(format!("{PREFIX}{second:010}.{host}.{}.0", std::process::id()));
        let file = File::create_new(&path).map_err(Error::io("create", &path))?;
        let mut writer = Self { path, file };
        writer.append(&Event::version(unix_now()))?;
        Ok(writer)
    }

    fn append(&mut self, event: &Event) -> Result<()> {
        self.file.write_all(&record::frame(&event.encode_to_vec())).map_err(Error::io("write", &self.path))
    }
}

/// The time in an event file's name.
fn second(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.split('.').next()?.parse().ok()
}

/// The folder's event files, in their order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        let paths = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = paths.collect::<Result<Vec<_>, _>>()?;
        paths.retain(|path| second(path).is_some());
        paths.sort();
        Ok(paths)
    };
    list().map_err(Error::io("list", folder))
}

/// The events of these files that a reader sees.
fn events(files: &[PathBuf]) -> Result<Vec<Event>> {
    let mut seen: Vec<Event> = Vec::new();
    for path in files {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        for event in record::records(&bytes) {
            let event = Event::decode(event).map_err(|error| Error::data_file(path, format!("no event: {error}")))?;
            if event.is_start() {
                seen.retain(|before| before.step < event.step);
            } else if event.summary.is_some() {
                seen.push(event);
            }
        }
    }
    Ok(seen)
}

/// Whether an event stands: one that is neither a report nor of `ctx.log` always does.
fn stands(event: &Event, to: &mut Rewind) -> bool {
    let of = event.summary.as_ref().and_then(|summary| summary.value.first()).map_or("", |value| &value.node_name);
    match of.strip_prefix("report ").and_then(|report| report.parse().ok()) {
        Some(report) => to.keeps(Some(report)),
        None => of != LOG || to.keeps(None),
    }
}

impl Tracker for TensorBoard {
    fn name(&self) -> &'static str {
        "TensorBoard"
    }

    fn start(&mut self, run: &RunInfo) -> Result<()> {
        self.folder = self.chosen.clone().unwrap_or_else(|| run.path.join("tensorboard"));
        std::fs::create_dir_all(&self.folder).map_err(Error::io("create the folder", &self.folder))
    }

    fn rewind(&mut self, mut to: Rewind) -> Result<()> {
        let before = files(&self.folder)?;
        let (kept, cut): (Vec<Event>, Vec<Event>) =
            events(&before)?.into_iter().partition(|event| stands(event, &mut to));
        let is_config = |value: &Value| value.tag.starts_with(CONFIG) && value.node_name.is_empty();
        self.has_config =
            kept.iter().flat_map(|event| &event.summary).any(|summary| summary.value.iter().any(is_config));
        let mut writer = Writer::create(&self.folder, &before)?;
        if before.is_empty() {
            // A reader takes the first start that it sees for the beginning, and each that follows for a restart.
            writer.append(&Event::start(unix_now(), 0))?;
        }
        if let Some(from) = cut.iter().map(|event| event.step).min() {
            writer.append(&Event::start(unix_now(), from))?;
            kept.iter().filter(|event| event.step >= from).try_for_each(|event| writer.append(event))?;
        }
        self.writer = Some(writer);
        Ok(())
    }

    fn log_config(&mut self, config: &Logged) -> Result<()> {
        let rows = config.iter().map(|(name, value)| format!("| {name} | {} |\n", cell(value)));
        let table = format!("| name | value |\n|---|---|\n{}", rows.collect::<String>());
        if self.has_config { Ok(()) } else { self.write(0, vec![Value::text(CONFIG, "", &table)]) }
    }

    fn log(&mut self, logged: &Logged) -> Result<()> {
        let of = logged.report().map_or_else(|| LOG.to_owned(), |report| format!("report {report}"));
        let value = |(name, value): (&str, &Scalar)| match (value.as_f64(), value) {
            (Some(number), _) => Value::number(name, &of, number),
            (None, text) => Value::text(name, &of, &text.to_string()),
        };
        self.write(logged.step(), logged.iter().map(value).collect())
    }

    fn finish(&mut self) -> Result<()> {
        self.writer = None;
        Ok(())
    }
}

/// A value in a table of Markdown.
fn cell(value: &Scalar) -> String {
    value.to_string().replace('|', "\\|").replace('\n', " ")
}
