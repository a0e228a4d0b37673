//! `tracing` in a worker: a subscriber where the program has none, and the span that says which rank it is.
//!
//! In a worker `main`'s body never runs, so a program installs its subscriber in the loop, where one that is there already
//! would be in its way. So ours is made at the first event, or at the first call of the context, if there is none by then.
//! Until then [`Late`] holds its place on the loop's thread.

use std::cell::RefCell;
use std::sync::OnceLock;

use tracing::span::{Attributes, EnteredSpan, Id, Record};
use tracing::subscriber::{DefaultGuard, Interest};
use tracing::{Dispatch, Event, Metadata, Span, Subscriber, dispatcher};
use tracing_subscriber::EnvFilter;

use crate::error::{Error, Result};

/// The environment's variable that says what workers log, in the words of `RUST_LOG`.
const VARIABLE: &str = "TRAINLOOP_LOG";

/// What the variable says can be read.
pub(crate) fn check_filter() -> Result<()> {
    filter_of_environment().map(drop)
}

fn filter_of_environment() -> Result<Option<EnvFilter>> {
    let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let refused = |reason: &dyn std::fmt::Display| {
        Error::config(format!(
            "{VARIABLE} is `{}`, which is no filter: {reason}; write a level, or targets with levels, such as \
             `info,my_crate=debug`",
            text.display()
        ))
    };
    let text = text.to_str().ok_or_else(|| refused(&"it is not UTF-8"))?;
    EnvFilter::try_new(text).map(Some).map_err(|error| refused(&error))
}

/// Who this worker is, and what it logs where nobody says otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) rank: usize,
    pub(crate) generation: u64,
    pub(crate) verbose: bool,
}

impl Identity {
    fn span(self) -> Span {
        let Self { rank, generation, .. } = self;
        tracing::info_span!(target: "trainloop", "worker", rank, generation)
    }

    /// Into the worker's standard error, and so into its log.
    fn subscriber(self) -> Dispatch {
        let default = if self.verbose { "info,trainloop=debug" } else { "info" };
        // The driver has looked at the variable.
        let filter = filter_of_environment().ok().flatten().unwrap_or_else(|| EnvFilter::new(default));
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).finish().into()
    }

    /// Ours becomes the process's, unless there is one.
    fn settle(self) -> (Dispatch, Span) {
        // An error says that there is one.
        let _ = dispatcher::set_global_default(self.subscriber());
        (dispatcher::get_default(Dispatch::clone), self.span())
    }
}

thread_local! {
    static LATE: RefCell<Option<(DefaultGuard, Dispatch)>> = const { RefCell::new(None) };
    /// The worker's own, in which everything on this thread happens.
    static WORKER: RefCell<Option<EnteredSpan>> = const { RefCell::new(None) };
}

/// Runs a loop on this thread, as that of a worker process.
pub(crate) fn in_worker<T>(worker: Identity, run: impl FnOnce() -> T) -> T {
    let late = Dispatch::new(Late { worker, settled: OnceLock::new() });
    LATE.set(Some((dispatcher::set_default(&late), late)));
    let value = run();
    settle();
    WORKER.take();
    value
}

/// Runs a loop in the driver's process, whose subscriber is the program's affair.
pub(crate) fn in_this_process<T>(generation: u64, run: impl FnOnce() -> T) -> T {
    Identity { rank: 0, generation, verbose: false }.span().in_scope(run)
}

/// From here on it is settled which subscriber this worker has.
pub(crate) fn settle() {
    let Some((guard, late)) = LATE.take() else { return };
    drop(guard);
    if let Some(late) = late.downcast_ref::<Late>()
        && late.settled.get().is_none()
    {
        enter(late.worker.settle().1);
    }
    drop(late);
    // Which may be less than what might have been while it was not settled.
    tracing::callsite::rebuild_interest_cache();
}

fn enter(worker: Span) {
    WORKER.set(Some(worker.entered()));
}

/// Holds the place of a subscriber that is still to be settled, then hands on to it: spans that were made here may live on.
struct Late {
    worker: Identity,
    settled: OnceLock<Dispatch>,
}

impl Late {
    fn subscriber(&self) -> &Dispatch {
        self.settled.get_or_init(|| {
            // In a thread, where nothing holds the place: this one is inside an event, and would see no subscriber.
            let worker = self.worker;
            let settled = std::thread::Builder::new().spawn(move || worker.settle()).map(std::thread::JoinHandle::join);
            match settled {
                Ok(Ok((subscriber, span))) => {
                    enter(span);
                    subscriber
                }
                // Without a thread to be had, the worker has other worries than its log.
                _ => Dispatch::none(),
            }
        })
    }
}

impl Subscriber for Late {
    /// Asked for every event, also by other threads, and while another subscriber is made: nothing may be settled here.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.subscriber().enabled(metadata)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.subscriber().new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.subscriber().record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.subscriber().record_follows_from(span, follows);
    }

    fn event(&self, event: &Event<'_>) {
        self.subscriber().event(event);
    }

    fn enter(&self, span: &Id) {
        self.subscriber().enter(span);
    }

    fn exit(&self, span: &Id) {
        self.subscriber().exit(span);
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.subscriber().clone_span(span)
    }

    fn try_close(&self, span: Id) -> bool {
        self.subscriber().try_close(span)
    }

    fn current_span(&self) -> tracing_core::span::Current {
        self.subscriber().current_span()
    }
}
