//! The binary's callbacks, and which of them run for a loop.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Offer;
use crate::error::{BoxError, Error, Result};
use crate::trainer::Registration;
use crate::worker::panic_message;

/// An event and the side on which it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// `report` in a worker.
    WorkerReport,
    /// `log`.
    Log,
    /// `report` in the driver.
    DriverReport,
    /// `run_start`.
    RunStart,
    /// `run_end`.
    RunEnd,
    /// `checkpoint`.
    Checkpoint,
    /// `exception`.
    Exception,
    /// `restart`.
    Restart,
    /// `resize`.
    Resize,
    /// `state`.
    State,
    /// `train_start`.
    TrainStart,
    /// `train_end`.
    TrainEnd,
    /// `epoch_start`.
    EpochStart,
    /// `epoch_end`.
    EpochEnd,
    /// `step_start`.
    StepStart,
    /// `step_end`.
    StepEnd,
    /// `before_backward`.
    BeforeBackward,
    /// `after_backward`.
    AfterBackward,
    /// `before_optimizer_step`.
    BeforeOptimizerStep,
    /// `validation_start`.
    ValidationStart,
    /// `validation_end`.
    ValidationEnd,
    /// `stop`.
    Stop,
}

/// A loop's metrics as a value.
#[derive(Debug, Clone, Copy)]
pub struct MetricsType {
    id: TypeId,
    name: &'static str,
}

impl MetricsType {
    /// That of `M`.
    #[must_use]
    pub fn of<M: 'static>() -> Self {
        Self { id: TypeId::of::<M>(), name: std::any::type_name::<M>() }
    }
}

/// A function with `#[callback(…)]`: its entry in the binary's list.
pub struct Callback {
    event: Event,
    /// Its module and name.
    path: &'static str,
    file: &'static str,
    line: u32,
    order: i64,
    rank_zero: bool,
    /// The name of the only loop for which it runs.
    only: Option<&'static str>,
    /// `None` where the event lacks a parameter, or the offer only [asks](Offer::asking).
    call: fn(&mut Offer<'_>) -> Option<Result<(), BoxError>>,
}

inventory::collect!(Callback);

impl Callback {
    /// The entry of a function.
    #[must_use]
    pub const fn new(
        event: Event,
        path: &'static str,
        (file, line): (&'static str, u32),
        call: fn(&mut Offer<'_>) -> Option<Result<(), BoxError>>,
    ) -> Self {
        Self { event, path, file, line, order: 0, rank_zero: false, only: None, call }
    }

    /// With `on = rank_zero`.
    #[must_use]
    pub const fn rank_zero(mut self) -> Self {
        self.rank_zero = true;
        self
    }

    /// With the option `order`.
    #[must_use]
    pub const fn order(mut self, order: i64) -> Self {
        self.order = order;
        self
    }

    /// With the option `only`: the loop's name.
    #[must_use]
    pub const fn only(mut self, train_loop: &'static str) -> Self {
        self.only = Some(train_loop);
        self
    }

    fn fits(&self, train_loop: &str, metrics: MetricsType) -> bool {
        self.only.is_none_or(|only| only == train_loop)
            && self.metrics().into_iter().all(|of_parameter| of_parameter.id == metrics.id)
    }

    /// Those in its parameters' types.
    fn metrics(&self) -> Vec<MetricsType> {
        let mut offer = Offer::asking();
        let _ = (self.call)(&mut offer);
        offer.asked()
    }

    fn name(&self) -> &'static str {
        self.path.rsplit("::").next().unwrap_or(self.path)
    }

    fn run(&self, mut offer: Offer<'_>) -> Result<()> {
        // The run ends with a panic as with an error, so nothing that it left half done is used.
        let result = catch_unwind(AssertUnwindSafe(|| (self.call)(&mut offer)));
        let source = match result {
            Ok(Some(Ok(()))) => return Ok(()),
            Ok(Some(Err(error))) => error,
            Ok(None) => "two of its parameters borrow the report".into(),
            Err(panic) => format!("it panicked: {}", panic_message(panic.as_ref())).into(),
        };
        Err(Error::Callback { name: self.name(), place: self.place(), source, outcome: None })
    }

    fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    fn why_it_fits_no_loop(&self, loops: &[(&str, MetricsType)]) -> Error {
        let named: Vec<_> = self.metrics().into_iter().map(|metrics| metrics.name).collect();
        let takes = match named.as_slice() {
            [] => "no metrics".to_owned(),
            [name, rest @ ..] if rest.iter().all(|other| other == name) => format!("the metrics `{name}`"),
            _ => "metrics of several types, and a loop has one".to_owned(),
        };
        let only = self.only.map_or_else(String::new, |name| format!(" and is for `{name}` alone"));
        let loops: Vec<_> =
            loops.iter().map(|(name, metrics)| format!("`{name}` reports `{}`", metrics.name)).collect();
        Error::config(format!(
            "callback `{}` ({}) fits no train loop of this binary, so it would never run: it takes {takes}{only}; {}",
            self.name(),
            self.place(),
            loops.join(", ")
        ))
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.path, self.file, self.line)
    }
}

/// The callbacks of one loop, in the order in which they run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Callbacks(Vec<&'static Callback>);

impl Callbacks {
    /// Those of this binary that fit the loop.
    pub(crate) fn of_loop(name: &str, metrics: MetricsType) -> Self {
        Self::ordered(inventory::iter::<Callback>.into_iter().filter(|callback| callback.fits(name, metrics)))
    }

    /// Those that run on this rank.
    pub(crate) fn of_rank(mut self, rank: usize) -> Self {
        self.0.retain(|callback| rank == 0 || !callback.rank_zero);
        self
    }

    fn ordered(callbacks: impl Iterator<Item = &'static Callback>) -> Self {
        let mut callbacks: Vec<_> = callbacks.collect();
        callbacks.sort_by_key(|callback| (callback.order, callback.file, callback.line));
        Self(callbacks)
    }

    /// A callback is named by its path in errors and in the comparison of driver and workers.
    fn check_names(&self) -> Result<()> {
        let mut seen: HashMap<&str, &Callback> = HashMap::new();
        for callback in &self.0 {
            if let Some(other) = seen.insert(callback.path, callback) {
                return Err(Error::config(format!(
                    "two callbacks are called `{}`: {} and {}; rename one, or move it into a module",
                    callback.path,
                    other.place(),
                    callback.place()
                )));
            }
        }
        Ok(())
    }

    fn on(&self, event: Event) -> impl Iterator<Item = &'static Callback> {
        self.0.iter().copied().filter(move |callback| callback.event == event)
    }

    /// True where there is one on `event`.
    pub(crate) fn has(&self, event: Event) -> bool {
        self.on(event).next().is_some()
    }

    /// Runs those on `event`, up to the first that fails.
    pub(crate) fn run(&self, event: Event, mut offer: Offer<'_>) -> Result<()> {
        self.on(event).try_for_each(|callback| callback.run(offer.again()))
    }

    /// Runs all of those on `event`; gives the errors of those that failed.
    pub(crate) fn run_all(&self, event: Event, mut offer: Offer<'_>) -> Vec<Error> {
        self.on(event).filter_map(|callback| callback.run(offer.again()).err()).collect()
    }
}

/// Each callback of this binary, for [`Identity`](crate::launch::Identity).
pub(crate) fn described() -> impl Iterator<Item = String> {
    inventory::iter::<Callback>
        .into_iter()
        .map(|callback| format!("callback `{}` ({})", callback.path, callback.place()))
}

/// Every callback of this binary fits one of its loops, or the one that is about to run, and no two have one name.
pub(crate) fn check(train_loop: &'static str, metrics: MetricsType) -> Result<()> {
    let registered = Registration::all().into_iter().map(|entry| (entry.name, (entry.metrics)()));
    let mut loops: Vec<_> = registered.collect();
    if loops.iter().all(|(name, _)| *name != train_loop) {
        loops.push((train_loop, metrics));
        loops.sort_by_key(|(name, _)| *name);
    }
    let callbacks = Callbacks::ordered(inventory::iter::<Callback>.into_iter());
    callbacks.check_names()?;
    match callbacks.0.iter().find(|callback| !loops.iter().any(|(name, metrics)| callback.fits(name, *metrics))) {
        Some(callback) => Err(callback.why_it_fits_no_loop(&loops)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
