//! Train loops as types, and how a worker finds one by its name.

use super::{CheckpointConfig, RunConfig, ScalingConfig};
use crate::callback::MetricsType;
use crate::channel::Travels;
use crate::error::{BoxError, Error, Result};
use crate::metric::Metrics;
use crate::strategy::Strategy;
use crate::worker::Seat;

/// A function with `#[train_loop]`, as a type of the same name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a train loop",
    note = "annotate the function with `#[trainloop::train_loop]` and name it here, without parentheses"
)]
pub trait TrainLoop: 'static {
    /// The loop's config.
    type Config: Travels;
    /// What it reports.
    type Metrics: Metrics;
    /// What it returns.
    type Output: Travels;

    /// The loop's path, by which a worker finds it.
    const NAME: &'static str;
    /// The attribute's `strategy`.
    const STRATEGY: Strategy;

    /// The attribute's `workers`, `use_gpu` and `backend`.
    #[must_use]
    fn scaling() -> ScalingConfig {
        ScalingConfig::default()
    }

    /// The attribute's `name`, `resume` and `failure(…)`.
    #[must_use]
    fn run() -> RunConfig {
        RunConfig::default()
    }

    /// The attribute's `checkpoint(…)`.
    #[must_use]
    fn checkpoint() -> CheckpointConfig<Self::Metrics> {
        CheckpointConfig::new()
    }

    /// Runs the loop in a worker; gives what it returns, encoded.
    ///
    /// # Errors
    /// The loop's own.
    #[doc(hidden)]
    fn call(seat: Seat) -> Result<Vec<u8>, BoxError>;
}

/// A train loop's entry in the binary's list, where a worker looks it up.
pub struct Registration {
    pub(crate) name: &'static str,
    file: &'static str,
    line: u32,
    /// What it reports.
    pub(crate) metrics: fn() -> MetricsType,
    pub(crate) run: fn(Seat) -> Result<Vec<u8>, BoxError>,
}

impl Registration {
    /// The entry of `L`, which is written there.
    #[must_use]
    pub const fn of<L: TrainLoop>((file, line): (&'static str, u32)) -> Self {
        Self { name: L::NAME, file, line, metrics: MetricsType::of::<L::Metrics>, run: L::call }
    }

    /// Every loop of this binary, by name.
    pub(crate) fn all() -> Vec<&'static Self> {
        let mut all: Vec<_> = inventory::iter::<Self>.into_iter().collect();
        all.sort_by_key(|entry| (entry.name, entry.file, entry.line));
        all
    }
}

inventory::collect!(Registration);

/// The train loop of that name in this binary.
///
/// # Errors
/// Where there is none: those that there are, and how one is lost.
pub(crate) fn find(name: &str) -> Result<&'static Registration> {
    let all = Registration::all();
    let found = all.iter().find(|entry| entry.name == name).copied();
    found.ok_or_else(|| unknown(name, &all.iter().map(|entry| entry.name).collect::<Vec<_>>()))
}

fn unknown(name: &str, known: &[&str]) -> Error {
    let known = match known {
        [] => "it has none".to_owned(),
        known => format!("it has `{}`", known.join("`, `")),
    };
    let krate = name.split("::").next().unwrap_or(name);
    Error::config(format!(
        "this binary has no train loop `{name}`; {known}; the linker leaves out a crate that nothing names, so write \
         `use {krate} as _;` in `main`'s file if the loop is in another crate, and `#[train_loop]` above it"
    ))
}

/// No two loops of this binary have one name, by which a worker finds them.
pub(crate) fn check() -> Result<()> {
    let all = Registration::all();
    match all.iter().zip(all.iter().skip(1)).find(|(one, next)| one.name == next.name) {
        Some((one, next)) => Err(Error::config(format!(
            "two train loops are called `{}`: {}:{} and {}:{}; a worker finds a loop by its name, so rename one, or move it \
             into a module",
            one.name, one.file, one.line, next.file, next.line
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::unknown;

    #[test]
    fn an_unknown_loop_names_those_that_there_are() {
        let error = unknown("models::vision::train", &["main::a", "main::b"]).to_string();
        assert!(error.contains("no train loop `models::vision::train`; it has `main::a`, `main::b`"), "{error}");
        assert!(error.contains("`use models as _;`"), "{error}");
        assert!(unknown("a::b", &[]).to_string().contains("it has none"));
    }
}
