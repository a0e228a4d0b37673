//! What a person sees of a run: on the terminal, and in the ranks' logs.

mod console;
mod steps;
mod subscriber;

pub(crate) use console::{Console, Stream};
pub(crate) use steps::StepSpan;
pub(crate) use subscriber::{Identity, check_filter, in_this_process, in_worker, settle};
