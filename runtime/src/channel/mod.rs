//! The control channel: frames between the controller and its workers over a private socket.
//!
//! A worker connects, [proves](handshake) that it knows the run's token, and is given its [`Start`](message::Start).
//! From then on it pushes what happens; nobody polls.

mod frame;
#[cfg(test)]
mod fuzzing;
pub(crate) mod handshake;
mod message;
mod stream;
mod token;
mod travels;

pub(crate) use frame::{Decoder, decode, encode, read_frame, write_frame};
pub(crate) use message::{Begun, Failure, Missing, Shared, Start, StoreAt, ToController, ToWorker, Written};
pub(crate) use stream::Stream;
pub(crate) use token::Token;
pub use travels::Travels;
