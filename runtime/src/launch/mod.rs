//! What starts workers.

mod identity;
mod invitation;
mod local;

pub(crate) use identity::Identity;
pub(crate) use invitation::Invitation;
pub(crate) use local::LocalLauncher;
