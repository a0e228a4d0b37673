//! The control channel: frames between the controller and its workers over a private socket.
//!
//! A worker connects, says [`Hello`](message::Hello) with the run's token, and is given its [`Start`](message::Start).
//! From then on it pushes what happens; nobody polls.

mod frame;
mod message;
mod token;
mod travels;

pub(crate) use frame::{Decoder, decode, encode, read_frame, write_frame};
pub(crate) use message::{Begun, Failure, Hello, Missing, Start, ToController, ToWorker, Written};
pub(crate) use token::Token;
pub use travels::Travels;
