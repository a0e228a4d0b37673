//! Which parameters each event has. Generated code asks the event's `Has` for each parameter's type, so that one that the
//! event does not have is marked where it is written.

use super::{CheckpointInfo, Control, Offer, Parameter, Reduced, Report, Resize, RunEnd, RunInfo, WorkerInfo};
use crate::metric::{Metrics, Ranks};
use crate::trainer::{RunFailure, StateChange};

/// The parameters of one event.
macro_rules! has {
    ($event:ident: [$($parameter:ty),*], for M: [$($of_metrics:ty),*]) => {
        $(
            #[diagnostic::do_not_recommend]
            impl<'e> $event::Has<'e> for $parameter {}
        )*
        $(
            #[diagnostic::do_not_recommend]
            impl<'e, M: Metrics> $event::Has<'e> for $of_metrics {}
        )*
    };
}

has! { worker_report: [&'e WorkerInfo, &'e Control], for M: [&'e mut Report<M>, &'e Report<M>] }

#[doc(hidden)]
pub mod worker_report {
    use super::{Offer, Parameter};

    /// A parameter of `#[callback(report)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `report` has no `{Self}` in a worker",
        label = "this event does not have it",
        note = "a callback with `#[callback(report)]` takes any of `&mut Report<M>`, `&Control`, `&WorkerInfo`",
        note = "for all ranks' metrics, once in the driver: `#[callback(report, on = driver)]`"
    )]
    pub trait Has<'e>: Parameter<'e> {
        /// The parameter's value.
        fn get(offer: &mut Offer<'e>) -> Option<Self> {
            offer.lend()
        }
    }
}

has! { driver_report: [&'e RunInfo], for M: [&'e Ranks<M>, &'e Reduced<M>] }

#[doc(hidden)]
pub mod driver_report {
    use super::{Offer, Parameter};

    /// A parameter of `#[callback(report, on = driver)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `report` has no `{Self}` in the driver",
        label = "this event does not have it",
        note = "a callback with `#[callback(report, on = driver)]` takes any of `&Ranks<M>`, `&Reduced<M>`, `&RunInfo`",
        note = "for a rank's own report, before it is sent: `#[callback(report)]`"
    )]
    pub trait Has<'e>: Parameter<'e> {
        /// The parameter's value.
        fn get(offer: &mut Offer<'e>) -> Option<Self> {
            offer.lend()
        }
    }
}

has! { run_start: [&'e RunInfo], for M: [] }

#[doc(hidden)]
pub mod run_start {
    use super::{Offer, Parameter};

    /// A parameter of `#[callback(run_start)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `run_start` has no `{Self}`",
        label = "this event does not have it",
        note = "a callback with `#[callback(run_start)]` takes `&RunInfo`"
    )]
    pub trait Has<'e>: Parameter<'e> {
        /// The parameter's value.
        fn get(offer: &mut Offer<'e>) -> Option<Self> {
            offer.lend()
        }
    }
}

has! { run_end: [&'e RunEnd, &'e RunInfo], for M: [Option<&'e Reduced<M>>] }

#[doc(hidden)]
pub mod run_end {
    use super::{Offer, Parameter};

    /// A parameter of `#[callback(run_end)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `run_end` has no `{Self}`",
        label = "this event does not have it",
        note = "a callback with `#[callback(run_end)]` takes any of `&RunEnd`, `Option<&Reduced<M>>`, `&RunInfo`"
    )]
    pub trait Has<'e>: Parameter<'e> {
        /// The parameter's value.
        fn get(offer: &mut Offer<'e>) -> Option<Self> {
            offer.lend()
        }
    }
}

has! { checkpoint: [&'e CheckpointInfo, &'e RunInfo], for M: [Option<&'e Reduced<M>>] }

#[doc(hidden)]
pub mod checkpoint {
    use super::{Offer, Parameter};

    /// A parameter of `#[callback(checkpoint)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `checkpoint` has no `{Self}`",
        label = "this event does not have it",
        note = "a callback with `#[callback(checkpoint)]` takes any of `&CheckpointInfo`, `Option<&Reduced<M>>`, `&RunInfo`"
    )]
    pub trait Has<'e>: Parameter<'e> {
        /// The parameter's value.
        fn get(offer: &mut Offer<'e>) -> Option<Self> {
            offer.lend()
        }
    }
}

has! { exception: [&'e RunFailure, &'e RunInfo], for M: [] }

#[doc(hidden)]
pub mod exception {
    use super::{Offer, Parameter};

    /// A parameter of `#[callback(exception)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `exception` has no `{Self}`",
        label = "this event does not have it",
        note = "a callback with `#[callback(exception)]` takes any of `&RunFailure`, `&RunInfo`"
    )]
    pub trait Has<'e>: Parameter<'e> {
        /// The parameter's value.
        fn get(offer: &mut Offer<'e>) -> Option<Self> {
            offer.lend()
        }
    }
}

has! { restart: [&'e RunFailure, &'e RunInfo], for M: [] }

#[doc(hidden)]
pub mod restart {
    use super::{Offer, Parameter};

    /// A parameter of `#[callback(restart)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `restart` has no `{Self}`",
        label = "this event does not have it",
        note = "a callback with `#[callback(restart)]` takes any of `&RunFailure`, `&RunInfo`"
    )]
    pub trait Has<'e>: Parameter<'e> {
        /// The parameter's value.
        fn get(offer: &mut Offer<'e>) -> Option<Self> {
            offer.lend()
        }
    }
}

has! { resize: [&'e Resize, &'e RunInfo], for M: [] }

#[doc(hidden)]
pub mod resize {
    use super::{Offer, Parameter};

    /// A parameter of `#[callback(resize)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `resize` has no `{Self}`",
        label = "this event does not have it",
        note = "a callback with `#[callback(resize)]` takes any of `&Resize`, `&RunInfo`"
    )]
    pub trait Has<'e>: Parameter<'e> {
        /// The parameter's value.
        fn get(offer: &mut Offer<'e>) -> Option<Self> {
            offer.lend()
        }
    }
}

has! { state: [&'e StateChange, &'e RunInfo], for M: [] }

#[doc(hidden)]
pub mod state {
    use super::{Offer, Parameter};

    /// A parameter of `#[callback(state)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `state` has no `{Self}`",
        label = "this event does not have it",
        note = "a callback with `#[callback(state)]` takes any of `&StateChange`, `&RunInfo`"
    )]
    pub trait Has<'e>: Parameter<'e> {
        /// The parameter's value.
        fn get(offer: &mut Offer<'e>) -> Option<Self> {
            offer.lend()
        }
    }
}
