//! What starts workers.

mod identity;
mod invitation;
mod local;
mod memory;
mod spares;

pub(crate) use identity::Identity;
pub(crate) use invitation::Invitation;
pub(crate) use local::LocalLauncher;
pub(crate) use spares::{Ear, Spares};
