//! Where a driver can be reached.

use std::net::{IpAddr, TcpListener, ToSocketAddrs};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::Invitation;
use crate::channel::Token;
use crate::error::{Error, Result};

/// A socket in Linux's abstract namespace, for this machine, and one over TCP where ranks are on others; both are for those
/// who know the token.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) unix: UnixListener,
    /// The name in the abstract namespace: no file, and gone with the driver.
    pub(crate) socket: String,
    pub(crate) tcp: Option<TcpListener>,
    pub(crate) token: Token,
}

impl Listening {
    /// On this machine alone, with a token of its own.
    pub(crate) fn here() -> Result<Self> {
        Self::with(Token::random()?)
    }

    /// At `host` and `port` too, for ranks on other machines that have the same token.
    pub(crate) fn to_nodes(host: &str, port: u16, token: Token) -> Result<Self> {
        let mut listening = Self::with(token)?;
        let listen = || -> std::io::Result<TcpListener> {
            let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
            let is_address = host.parse::<IpAddr>().is_ok() || host == "localhost";
            if !is_address && addresses.iter().all(|address| address.ip().is_loopback()) {
                return Err(std::io::Error::other(
                    "on this machine the name leads to loopback, which no other can reach; give its address",
                ));
            }
            let listener = TcpListener::bind(addresses.as_slice())?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = listen().map_err(|error| {
            Error::channel(format!(
                "cannot listen for the other ranks at {host}:{port}: {error}; rank 0 runs on the machine that this name leads \
                 to, and the port is to be free there (`docs/clusters.md` says which variables choose them)"
            ))
        })?;
        listening.tcp = Some(listener);
        Ok(listening)
    }

    fn with(token: Token) -> Result<Self> {
        // The name is no secret; the token is. A random part makes it unique.
        let socket = format!("trainloop-{}-{}", std::process::id(), &Token::random()?.text()[..16]);
        let listen = || -> std::io::Result<UnixListener> {
            let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&socket)?)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let unix = listen().map_err(|error| Error::channel(format!("cannot listen for workers: {error}")))?;
        Ok(Self { unix, socket, tcp: None, token })
    }

    /// What a worker on this machine needs to be let in.
    pub(crate) fn invite(&self, rank: usize) -> Invitation {
        Invitation { rank, driver: std::process::id() as i32, socket: self.socket.clone(), token: self.token.clone() }
    }
}
