//! What a person sees of a run on the terminal.

mod console;

pub(crate) use console::{Console, Stream};
