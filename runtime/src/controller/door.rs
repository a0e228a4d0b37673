//! Where workers come in: the private socket, and who may pass.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry};

use super::wakeups::Source;
use crate::channel::{Decoder, ToController, Token};
use crate::error::{Error, Result};
use crate::launch::Invitation;

/// A hello is far shorter; a stranger that sends more is no worker.
const MAX_HELLO: usize = 4096;

/// A socket in Linux's abstract namespace, and the connections on it that have not yet said who they are.
pub(super) struct Door {
    listener: UnixListener,
    socket: String,
    token: Token,
    strangers: HashMap<usize, (UnixStream, Decoder)>,
    next_stranger: usize,
}

/// A connection that knows the token.
pub(super) struct Guest {
    pub(super) rank: usize,
    pub(super) stream: UnixStream,
    /// What it sent after its hello.
    pub(super) decoder: Decoder,
}

impl Door {
    pub(super) fn open(registry: &Registry) -> Result<Self> {
        let token = Token::random()?;
        // The name is no secret; the token is. A part of another token makes it unique.
        let socket = format!("trainloop-{}-{}", std::process::id(), &Token::random()?.text()[..16]);
        let listen = || -> std::io::Result<UnixListener> {
            let listener = StdListener::bind_addr(&SocketAddr::from_abstract_name(&socket)?)?;
            listener.set_nonblocking(true)?;
            let mut listener = UnixListener::from_std(listener);
            registry.register(&mut listener, Source::Listener.token(), Interest::READABLE)?;
            Ok(listener)
        };
        let listener = listen().map_err(|error| Error::channel(format!("cannot listen for workers: {error}")))?;
        Ok(Self { listener, socket, token, strangers: HashMap::new(), next_stranger: 0 })
    }

    /// What a worker needs to be let in.
    pub(super) fn invite(&self, rank: usize) -> Invitation {
        Invitation { rank, driver: std::process::id() as i32, socket: self.socket.clone(), token: self.token.clone() }
    }

    pub(super) fn accept(&mut self, registry: &Registry) {
        // Edge-triggered: take all that wait.
        while let Ok((mut stream, _)) = self.listener.accept() {
            let number = self.next_stranger;
            self.next_stranger += 1;
            if registry.register(&mut stream, Source::Stranger(number).token(), Interest::READABLE).is_ok() {
                self.strangers.insert(number, (stream, Decoder::default()));
            }
        }
    }

    /// A stranger that has sent something: one with the right token is let in, one without is shown out; `None` also where
    /// its hello is not whole yet.
    pub(super) fn greet(&mut self, number: usize) -> Option<Guest> {
        let (stream, decoder) = self.strangers.get_mut(&number)?;
        let mut buffer = [0; 1024];
        let mut open = true;
        while open && decoder.len() <= MAX_HELLO {
            match stream.read(&mut buffer) {
                Ok(0) => open = false,
                Ok(read) => decoder.push(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => open = false,
            }
        }
        let rank = match decoder.next() {
            Ok(None) if open && decoder.len() <= MAX_HELLO => return None,
            Ok(Some(ToController::Hello(hello))) if hello.token.matches(&self.token) => Some(hello.rank),
            _ => None,
        };
        let (stream, decoder) = self.strangers.remove(&number)?;
        if rank.is_none() {
            tracing::warn!("a connection that is no worker of this run was closed");
        }
        Some(Guest { rank: rank?, stream, decoder })
    }
}
