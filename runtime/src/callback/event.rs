//! Which parameters each event has. Generated code asks the event's `Has` for each parameter's type, so that one that the
//! event does not have is marked where it is written.

macro_rules! event {
    ($(#[$attribute:meta])* $event:ident: [$($parameter:ty),*], for M: [$($of_metrics:ty),*]) => {
        #[doc(hidden)]
        pub mod $event {
            #[allow(unused_imports)] // each event has a part of them
            use super::super::{CheckpointInfo, Offer, Parameter, Reduced, Report, RunEnd, RunInfo, WorkerInfo};
            #[allow(unused_imports)]
            use crate::metric::{Metrics, Ranks};
            #[allow(unused_imports)]
            use crate::trainer::RunFailure;

            $(#[$attribute])*
            pub trait Has<'e>: Parameter<'e> {
                /// The parameter's value.
                fn get(offer: &mut Offer<'e>) -> Option<Self> {
                    offer.lend()
                }
            }

            $(
                #[diagnostic::do_not_recommend]
                impl<'e> Has<'e> for $parameter {}
            )*
            $(
                #[diagnostic::do_not_recommend]
                impl<'e, M: Metrics> Has<'e> for $of_metrics {}
            )*
        }
    };
}

event! {
    /// A parameter of `#[callback(report)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `report` has no `{Self}` in a worker",
        label = "this event does not have it",
        note = "a callback with `#[callback(report)]` takes any of `&mut Report<M>`, `&WorkerInfo`",
        note = "for all ranks' metrics, once in the driver: `#[callback(report, on = driver)]`"
    )]
    worker_report: [&'e WorkerInfo], for M: [&'e mut Report<M>, &'e Report<M>]
}

event! {
    /// A parameter of `#[callback(report, on = driver)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `report` has no `{Self}` in the driver",
        label = "this event does not have it",
        note = "a callback with `#[callback(report, on = driver)]` takes any of `&Ranks<M>`, `&Reduced<M>`, `&RunInfo`",
        note = "for a rank's own report, before it is sent: `#[callback(report)]`"
    )]
    driver_report: [&'e RunInfo], for M: [&'e Ranks<M>, &'e Reduced<M>]
}

event! {
    /// A parameter of `#[callback(run_start)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `run_start` has no `{Self}`",
        label = "this event does not have it",
        note = "a callback with `#[callback(run_start)]` takes `&RunInfo`"
    )]
    run_start: [&'e RunInfo], for M: []
}

event! {
    /// A parameter of `#[callback(run_end)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `run_end` has no `{Self}`",
        label = "this event does not have it",
        note = "a callback with `#[callback(run_end)]` takes any of `&RunEnd`, `Option<&Reduced<M>>`, `&RunInfo`"
    )]
    run_end: [&'e RunEnd, &'e RunInfo], for M: [Option<&'e Reduced<M>>]
}

event! {
    /// A parameter of `#[callback(checkpoint)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `checkpoint` has no `{Self}`",
        label = "this event does not have it",
        note = "a callback with `#[callback(checkpoint)]` takes any of `&CheckpointInfo`, `Option<&Reduced<M>>`, `&RunInfo`"
    )]
    checkpoint: [&'e CheckpointInfo, &'e RunInfo], for M: [Option<&'e Reduced<M>>]
}

event! {
    /// A parameter of `#[callback(exception)]`.
    #[diagnostic::on_unimplemented(
        message = "the event `exception` has no `{Self}`",
        label = "this event does not have it",
        note = "a callback with `#[callback(exception)]` takes any of `&RunFailure`, `&RunInfo`"
    )]
    exception: [&'e RunFailure, &'e RunInfo], for M: []
}
