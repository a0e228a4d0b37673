//! How a worker process comes to its driver: as a child that has an invitation, or as a rank that an engine has started.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal};
use signal_hook::consts::{SIGINT, SIGTERM};
use trainloop_checkpoint::fault;

use super::channel_link::Driver;
use crate::channel::{Stream, Token, handshake};
use crate::error::{Error, Result};
use crate::launch::engine::Meeting;
use crate::launch::meeting::MeetingFile;
use crate::launch::{Invitation, Placement, token_of_user};

/// Ranks that an engine starts come up within this time of each other, or one of them does not come.
const LIMIT: Duration = Duration::from_secs(120);

/// A worker that its driver knows.
pub(super) struct Arrival {
    pub(super) rank: usize,
    pub(super) channel: Stream,
    pub(super) driver: Driver,
    /// Where an engine has started it.
    pub(super) placement: Option<Placement>,
}

impl Arrival {
    /// A child of the driver.
    pub(super) fn of_a_child(invitation: &Invitation) -> Result<Self> {
        let Invitation { rank, .. } = *invitation;
        fault::set_rank(rank);
        // Whatever has started the driver may send its signals to this process too.
        if Placement::of_this_process()?.is_some() {
            leave_signals_to_the_driver()?;
        }
        let driver = die_with_the_driver(invitation.driver)?;
        let channel = Stream::Unix(connect(&invitation.socket).map_err(|error| {
            Error::channel(format!("cannot reach the driver (process {}): {error}", invitation.driver))
        })?);
        if !handshake::introduce(&channel, &invitation.token, rank)? {
            return Err(Error::channel("the driver closed the channel before it had said who it is"));
        }
        Ok(Self { rank, channel, driver: Driver::Parent(driver), placement: None })
    }

    /// A process that an engine has started beside the driver's: it waits there until the driver calls `fit`, and gives
    /// `None` where that ends without.
    pub(super) fn of_an_engine(placement: Placement) -> Result<Option<Self>> {
        let rank = placement.rank;
        fault::set_rank(rank);
        let (channel, token) = match &placement.meeting {
            Meeting::OneNode { key } => on_one_node(key, rank)?,
            Meeting::Nodes { host, port } => {
                // Before it waits for anybody.
                let token = token_of_user()?;
                (over_tcp(host, *port, &placement)?, token)
            }
        };
        let known = handshake::introduce(&channel, &token, rank)?;
        // Not before: a rank that waits for its driver is ended by a signal like any process.
        leave_signals_to_the_driver()?;
        Ok(known.then_some(Self { rank, channel, driver: Driver::Elsewhere, placement: Some(placement) }))
    }
}

fn connect(socket: &str) -> std::io::Result<UnixStream> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(socket)?)
}

fn on_one_node(key: &str, rank: usize) -> Result<(Stream, Token)> {
    let text = MeetingFile::attend(key, LIMIT)?;
    let reach = || {
        let (socket, token) = text.split_once(':')?;
        Some((connect(socket), Token::from_text(token)))
    };
    match reach() {
        Some((Ok(stream), token)) => Ok((Stream::Unix(stream), token)),
        Some((Err(error), _)) => {
            Err(Error::channel(format!("rank {rank} cannot reach rank 0 on this machine: {error}")))
        }
        None => Err(Error::channel("the file that leads to rank 0 is not one of trainloop's")),
    }
}

fn over_tcp(host: &str, port: u16, placement: &Placement) -> Result<Stream> {
    let until = Instant::now() + LIMIT;
    let mut pause = Duration::from_millis(20);
    loop {
        match TcpStream::connect((host, port)).and_then(Stream::tcp) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() + pause >= until => {
                return Err(Error::channel(format!(
                    "rank {} cannot reach rank 0 at {host}:{port}, and has tried for {LIMIT:?}: {error}; see that {} has \
                     started rank 0 there, and that nothing between the nodes keeps this port closed (`docs/clusters.md` says \
                     which variables choose it)",
                    placement.rank, placement.engine
                )));
            }
            // Rank 0 is on its way.
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Engines send a signal to all ranks; the driver decides what follows, and tells the others.
fn leave_signals_to_the_driver() -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))
            .map_err(|error| Error::channel(format!("cannot leave signal {signal} to the driver: {error}")))?;
    }
    Ok(())
}

/// A worker never outlives its driver: until the channel is watched, the kernel ends it when the driver ends.
pub(super) fn die_with_the_driver(driver: i32) -> Result<OwnedFd> {
    let tie = || -> std::io::Result<Option<OwnedFd>> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        let Some(pid) = Some(driver).filter(|pid| *pid > 0).and_then(Pid::from_raw) else { return Ok(None) };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            pidfd => pidfd?,
        };
        // The driver may have ended before the lines above, and another process have got its number.
        Ok((rustix::process::getppid() == Some(pid)).then_some(pidfd))
    };
    tie()
        .map_err(|error| Error::channel(format!("cannot tie this worker to its driver: {error}")))?
        .ok_or_else(|| Error::channel("the driver has ended"))
}
