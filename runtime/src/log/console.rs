//! Workers' lines with their rank, a line for each report, and a bar where there is a terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::metric::MetricField;
use crate::trainer::Verbosity;

/// A worker's output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout = 0,
    Stderr = 1,
}

/// The driver's terminal.
pub(crate) struct Console {
    /// `None` where progress is off.
    bar: Option<ProgressBar>,
    tty: bool,
    /// The line at the end.
    shows_result: bool,
    verbosity: Verbosity,
    began: Instant,
    /// What is known of the metrics that reports hold.
    metrics: Vec<MetricField>,
}

impl Console {
    pub(crate) fn new(progress: bool, verbosity: Verbosity, metrics: Vec<MetricField>) -> Self {
        let shows_result = progress;
        let progress = progress && verbosity > Verbosity::Quiet;
        let tty = progress && std::io::stderr().is_terminal();
        let bar = progress.then(|| {
            if !tty {
                return ProgressBar::hidden();
            }
            let style = ProgressStyle::with_template("{bar:32} batch {pos}/{len}  {elapsed}  {msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, tty, shows_result, verbosity, began: Instant::now(), metrics }
    }

    /// Prints without tearing the bar; a closed terminal is no reason to fail.
    fn print(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) if self.tty => bar.suspend(print),
            _ => print(),
        }
    }

    fn print_error_line(&self, line: &str) {
        self.print(|| {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        });
    }

    pub(crate) fn worker_line(&self, rank: usize, stream: Stream, line: &str) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        self.print(|| {
            let _ = match stream {
                Stream::Stdout => writeln!(std::io::stdout().lock(), "[rank {rank}] {line}"),
                Stream::Stderr => writeln!(std::io::stderr().lock(), "[rank {rank}] {line}"),
            };
        });
    }

    pub(crate) fn progress(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    /// Something worth knowing, where progress is shown.
    pub(crate) fn note(&self, text: &str) {
        if self.bar.is_some() {
            self.print_error_line(text);
        }
    }

    /// What trainloop does, where that is asked for.
    pub(crate) fn detail(&self, text: impl FnOnce() -> String) {
        if self.verbosity == Verbosity::Verbose {
            self.print_error_line(&format!("[{:9.3}s] {}", self.began.elapsed().as_secs_f64(), text()));
        }
    }

    /// Something that went wrong and is no reason to end the run.
    pub(crate) fn warning(&self, text: &str) {
        self.print_error_line(&format!("warning: {text}"));
    }

    /// A line for a report that all ranks have made: its reduced metrics.
    pub(crate) fn report(&self, index: u64, metrics: &Value) {
        self.note(&format!("report {:>3}{}", index + 1, fields(metrics, &self.metrics)));
    }

    /// The last line of a run that has ended well: after how many reports, and the last one's metrics.
    pub(crate) fn result(&self, name: &str, reports: u64, metrics: &Value) {
        if self.shows_result {
            let time = indicatif::HumanDuration(self.began.elapsed());
            let plural = if reports == 1 { "" } else { "s" };
            let metrics = fields(metrics, &self.metrics);
            self.print_error_line(&format!("{name} finished after {time}, {reports} report{plural}{metrics}"));
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `  name value unit` for each field that a line can show.
fn fields(metrics: &Value, known: &[MetricField]) -> String {
    let mut text = String::new();
    append(&mut text, "", metrics, known);
    text
}

/// Adds the fields of one struct, whose names begin with `prefix`.
fn append(text: &mut String, prefix: &str, metrics: &Value, known: &[MetricField]) {
    let Value::Object(fields) = metrics else { return };
    for (name, value) in fields {
        let name = format!("{prefix}{name}");
        let shown = match value {
            Value::Number(number) if number.is_f64() => number.as_f64().map(float).unwrap_or_default(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::String(string) => string.clone(),
            Value::Object(_) => {
                append(text, &format!("{name}."), value, known);
                continue;
            }
            Value::Null | Value::Array(_) => continue,
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "  {name} {shown}");
        if let Some(unit) = known.iter().find(|field| field.name == name).and_then(|field| field.unit.as_ref()) {
            let _ = write!(text, " {unit}");
        }
    }
}

/// Four digits that mean something.
fn float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-3..1e6).contains(&magnitude) { format!("{value:.3e}") } else { format!("{value:.4}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metric::Reduction;
    use crate::metric::field::Fields;

    #[test]
    fn a_report_is_one_line_of_what_a_line_can_show() {
        let metrics = json!({"epoch": 3, "loss": 0.123_456, "lr": 1e-5, "worst": "NaN", "curve": [1, 2]});
        assert_eq!(fields(&metrics, &[]), "  epoch 3  loss 0.1235  lr 1.000e-5  worst NaN");
        let known = Fields::default().field("speed.step", Reduction::Max, Some("ms")).done();
        assert_eq!(fields(&json!({"speed": {"step": 12.5}}), &known), "  speed.step 12.5000 ms");
    }
}
