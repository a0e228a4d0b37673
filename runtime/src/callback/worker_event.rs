//! The events of a worker's loop, and which parameters each has.

use tch::Tensor;

use super::{Control, EpochInfo, Offer, Parameter, WorkerInfo};
use crate::tracker::Logged;

/// An event: its parameters, and what is said of one that it does not have.
macro_rules! event {
    ($event:ident: [$($parameter:ty),*], $message:literal, $note:literal) => {
        #[doc(hidden)]
        pub mod $event {
            use super::{Offer, Parameter};

            /// A parameter of a callback on this event.
            #[diagnostic::on_unimplemented(message = $message, label = "this event does not have it", note = $note)]
            pub trait Has<'e>: Parameter<'e> {
                /// The parameter's value.
                fn get(offer: &mut Offer<'e>) -> Option<Self> {
                    offer.lend()
                }
            }
        }

        $(
            #[diagnostic::do_not_recommend]
            impl<'e> $event::Has<'e> for $parameter {}
        )*
    };
}

event! {
    train_start: [&'e Control, &'e WorkerInfo],
    "the event `train_start` has no `{Self}`",
    "a callback with `#[callback(train_start)]` takes any of `&Control`, `&WorkerInfo`"
}
event! {
    train_end: [&'e Control, &'e WorkerInfo],
    "the event `train_end` has no `{Self}`",
    "a callback with `#[callback(train_end)]` takes any of `&Control`, `&WorkerInfo`"
}
event! {
    log: [&'e Logged, &'e Control, &'e WorkerInfo],
    "the event `log` has no `{Self}`",
    "a callback with `#[callback(log)]` takes any of `&Logged`, `&Control`, `&WorkerInfo`"
}
event! {
    epoch_start: [&'e EpochInfo, &'e Control, &'e WorkerInfo],
    "the event `epoch_start` has no `{Self}`",
    "a callback with `#[callback(epoch_start)]` takes any of `&EpochInfo`, `&Control`, `&WorkerInfo`"
}
event! {
    epoch_end: [&'e EpochInfo, &'e Control, &'e WorkerInfo],
    "the event `epoch_end` has no `{Self}`",
    "a callback with `#[callback(epoch_end)]` takes any of `&EpochInfo`, `&Control`, `&WorkerInfo`"
}
event! {
    step_start: [&'e EpochInfo, &'e Control, &'e WorkerInfo],
    "the event `step_start` has no `{Self}`",
    "a callback with `#[callback(step_start)]` takes any of `&EpochInfo`, `&Control`, `&WorkerInfo`"
}
event! {
    step_end: [&'e Control, &'e WorkerInfo],
    "the event `step_end` has no `{Self}`",
    "a callback with `#[callback(step_end)]` takes any of `&Control`, `&WorkerInfo`"
}
event! {
    before_backward: [&'e Tensor, &'e Control, &'e WorkerInfo],
    "the event `before_backward` has no `{Self}`",
    "a callback with `#[callback(before_backward)]` takes any of `&Tensor` (the loss), `&Control`, `&WorkerInfo`"
}
event! {
    after_backward: [&'e Tensor, &'e Control, &'e WorkerInfo],
    "the event `after_backward` has no `{Self}`",
    "a callback with `#[callback(after_backward)]` takes any of `&Tensor` (the loss), `&Control`, `&WorkerInfo`"
}
event! {
    before_optimizer_step: [&'e Control, &'e WorkerInfo],
    "the event `before_optimizer_step` has no `{Self}`",
    "a callback with `#[callback(before_optimizer_step)]` takes any of `&Control`, `&WorkerInfo`"
}
event! {
    validation_start: [&'e Control, &'e WorkerInfo],
    "the event `validation_start` has no `{Self}`",
    "a callback with `#[callback(validation_start)]` takes any of `&Control`, `&WorkerInfo`"
}
event! {
    validation_end: [&'e Control, &'e WorkerInfo],
    "the event `validation_end` has no `{Self}`",
    "a callback with `#[callback(validation_end)]` takes any of `&Control`, `&WorkerInfo`"
}
event! {
    stop: [&'e WorkerInfo],
    "the event `stop` has no `{Self}`",
    "a callback with `#[callback(stop)]` takes `&WorkerInfo`"
}
