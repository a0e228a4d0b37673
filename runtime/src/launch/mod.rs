//! What starts workers.

#[allow(dead_code)] // until the trainer asks for it
pub(crate) mod engine;
mod identity;
mod invitation;
mod local;
#[allow(dead_code)] // until the trainer asks for it
pub(crate) mod meeting;

pub(crate) use identity::Identity;
pub(crate) use invitation::Invitation;
pub(crate) use local::LocalLauncher;
