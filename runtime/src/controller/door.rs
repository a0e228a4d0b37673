//! Where workers come in, and who may pass.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::wakeups::Source;
use crate::channel::handshake::{self, Introduction, Step};
use crate::channel::{Decoder, Stream, Token};
use crate::error::{Error, Result};
use crate::launch::{Invitation, Listening};

/// A connection that has not proved itself by then is closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many connections may wait at once, besides one for each rank; the one that has waited longest makes room. Far below the
/// limit of open files, which they must not use up.
const MAX_STRANGERS: usize = 128;

/// Where the driver can be reached, and the connections that have not yet said who they are.
pub(super) struct Door {
    listening: Listening,
    /// By the order in which they came.
    strangers: BTreeMap<usize, Stranger>,
    next_stranger: usize,
    max_strangers: usize,
}

struct Stranger {
    stream: Stream,
    decoder: Decoder,
    introduction: Introduction,
    since: Instant,
}

/// A connection that knows the token.
pub(super) struct Guest {
    pub(super) rank: usize,
    pub(super) stream: Stream,
    /// What it sent after its introduction.
    pub(super) decoder: Decoder,
}

impl Door {
    /// For a group of `world_size`.
    pub(super) fn open(listening: Listening, registry: &Registry, world_size: usize) -> Result<Self> {
        let watch = || -> std::io::Result<()> {
            watch(&listening.unix, Source::Listener, registry)?;
            listening.tcp.as_ref().map_or(Ok(()), |tcp| watch(tcp, Source::Listener, registry))
        };
        watch().map_err(|error| Error::channel(format!("cannot listen for workers: {error}")))?;
        Ok(Self { listening, strangers: BTreeMap::new(), next_stranger: 0, max_strangers: MAX_STRANGERS + world_size })
    }

    pub(super) fn invite(&self, rank: usize) -> Invitation {
        self.listening.invite(rank)
    }

    /// Takes all connections that wait: the listeners tell only of new ones, and not which of them has one.
    pub(super) fn accept(&mut self, registry: &Registry) {
        while let Ok((stream, _)) = self.listening.unix.accept() {
            self.admit(Stream::Unix(stream), registry);
        }
        while let Some(Ok((stream, _))) = self.listening.tcp.as_ref().map(TcpListener::accept) {
            if let Ok(stream) = Stream::tcp(stream) {
                self.admit(stream, registry);
            }
        }
    }

    fn admit(&mut self, stream: Stream, registry: &Registry) {
        if self.strangers.len() >= self.max_strangers {
            self.strangers.pop_first();
        }
        let number = self.next_stranger;
        self.next_stranger += 1;
        if stream.set_nonblocking(true).and_then(|()| watch(&stream, Source::Stranger(number), registry)).is_ok() {
            let stranger = Stranger {
                stream,
                decoder: Decoder::limited(handshake::MAX_FRAME),
                introduction: Introduction::default(),
                since: Instant::now(),
            };
            self.strangers.insert(number, stranger);
        }
    }

    /// A stranger that has sent something: one that knows the token is let in, one that does not is shown out; `None` also
    /// where it has not said all yet.
    pub(super) fn greet(&mut self, number: usize) -> Option<Guest> {
        let stranger = self.strangers.get_mut(&number)?;
        match stranger.listen(&self.listening.token) {
            Ok(None) => None,
            Ok(Some(rank)) => {
                let Stranger { stream, mut decoder, .. } = self.strangers.remove(&number)?;
                decoder.lift_limit();
                Some(Guest { rank, stream, decoder })
            }
            Err(error) => {
                tracing::warn!("a connection that is no worker of this run was closed: {error}");
                self.strangers.remove(&number);
                None
            }
        }
    }

    /// When the first of those who wait loses its place.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.strangers.values().next().map(|stranger| stranger.since + PATIENCE)
    }

    /// Shows out those who have waited too long, and takes those who found no room.
    pub(super) fn pass_deadline(&mut self, now: Instant, registry: &Registry) {
        let before = self.strangers.len();
        while self.deadline().is_some_and(|at| at <= now) {
            self.strangers.pop_first();
        }
        if self.strangers.len() < before {
            tracing::warn!(
                "{} connections that said nothing for {PATIENCE:?} were closed",
                before - self.strangers.len()
            );
            self.accept(registry);
        }
    }
}

impl Stranger {
    /// Reads what has come, and answers; the rank once it is known.
    fn listen(&mut self, token: &Token) -> Result<Option<usize>> {
        let mut buffer = [0; 2 * handshake::MAX_FRAME];
        loop {
            match self.introduction.advance(&mut self.decoder, token)? {
                Step::Known(rank) => return Ok(Some(rank)),
                // A new connection's buffer holds it whole.
                Step::Answer(bytes) => (&self.stream).write_all(&bytes).map_err(|error| closed(&error))?,
                Step::Wait => match (&self.stream).read(&mut buffer) {
                    Ok(0) => return Err(Error::channel("it was closed by the other side")),
                    Ok(read) => self.decoder.push(&buffer[..read]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                    Err(error) => return Err(closed(&error)),
                },
            }
        }
    }
}

fn closed(error: &std::io::Error) -> Error {
    Error::channel(error.to_string())
}

fn watch(socket: &impl AsRawFd, source: Source, registry: &Registry) -> std::io::Result<()> {
    registry.register(&mut SourceFd(&socket.as_raw_fd()), source.token(), Interest::READABLE)
}
