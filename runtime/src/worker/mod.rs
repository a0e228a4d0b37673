//! The worker's side: the process's entry, and the [`Context`] that the loop gets.

pub(crate) mod activity;
mod agreement;
mod arrival;
mod channel_link;
mod collective;
mod context;
mod entry;
mod exchange;
mod hooks;
mod join;
mod link;
mod saver;
mod seat;
mod source;
mod spare;
mod step_times;
mod tensors;

pub use activity::{CheckpointPart, Collective};
pub use collective::AllReduce;
pub use context::{Context, Padding, RankZero};
pub use seat::Seat;
pub use source::{CheckpointSource, Files};
pub use step_times::StepTimes;
pub use tensors::Tensors;

pub(crate) use activity::Doing;
pub(crate) use entry::{attend, enter, invitation};
pub(crate) use hooks::Hooks;
pub(crate) use link::{Answer, HandIn, Link};
pub(crate) use seat::SeatParts;
pub(crate) use step_times::{Phase, Stopwatch};

/// The words of a panic.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
