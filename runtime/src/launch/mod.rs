//! What starts workers: the driver itself, or an engine.

pub(crate) mod engine;
mod host;
mod identity;
mod invitation;
mod listening;
mod local;
pub(crate) mod meeting;
mod memory;
mod spares;

pub(crate) use engine::Placement;
pub(crate) use host::{Host, token_of_user};
pub(crate) use identity::Identity;
pub(crate) use invitation::Invitation;
pub(crate) use listening::Listening;
pub(crate) use local::LocalLauncher;
pub(crate) use spares::{Ear, Spares};
