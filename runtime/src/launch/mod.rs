//! What starts workers.

mod invitation;
mod local;

pub(crate) use invitation::Invitation;
pub(crate) use local::LocalLauncher;
