//! Rank 0 of a group that an engine has started: the driver, whom the other ranks find.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Listening;
use super::engine::{Meeting, Placement};
use super::meeting::MeetingFile;
use crate::channel::Token;
use crate::error::{Error, Result};

/// Where the ranks are, and where they come to.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) placement: Placement,
    pub(crate) listening: Listening,
    /// On one node: what leads the others here.
    pub(crate) meeting: Option<MeetingFile>,
}

/// This process's host: there from the beginning of `main`, so that the other ranks wait at its sockets for `fit`.
static HOST: Mutex<State> = Mutex::new(State::None);

/// Ranks that come later than this find nobody, and give up after a while.
const DISMISS_WITHIN: Duration = Duration::from_secs(5);

enum State {
    /// No engine has started this process.
    None,
    Waiting(Box<Host>),
    /// A run has had it.
    Taken(String),
}

impl Host {
    /// Begins to listen for the other ranks.
    pub(crate) fn open(placement: Placement) -> Result<()> {
        let (listening, meeting) = match &placement.meeting {
            Meeting::OneNode { key } => {
                let listening = Listening::here()?;
                let meeting = MeetingFile::host(key, &format!("{}:{}", listening.socket, listening.token.text()))?;
                (listening, Some(meeting))
            }
            Meeting::Nodes { host, port } => (Listening::to_nodes(host, *port, token_of_user()?)?, None),
        };
        *state() = State::Waiting(Box::new(Self { placement, listening, meeting }));
        Ok(())
    }

    /// That of this process, if an engine has started it; for one run.
    pub(crate) fn take() -> Result<Option<Self>> {
        let mut state = state();
        match std::mem::replace(&mut *state, State::None) {
            State::None => Ok(None),
            State::Waiting(host) => {
                *state = State::Taken(host.placement.engine.to_string());
                Ok(Some(*host))
            }
            State::Taken(engine) => {
                let error = Error::config(format!(
                    "`fit` was called a second time, and the ranks that {engine} has started are for one run; start the program \
                     once for each run"
                ));
                *state = State::Taken(engine);
                Err(error)
            }
        }
    }
    /// After a `main` without `fit`: the others see that by the sockets' end, once they have come.
    pub(crate) fn dismiss() {
        let state = std::mem::replace(&mut *state(), State::None);
        let State::Waiting(host) = state else { return };
        let until = Instant::now() + DISMISS_WITHIN;
        let mut come = 0;
        while come + 1 < host.placement.world_size && Instant::now() < until {
            let unix = host.listening.unix.accept().is_ok();
            if unix || host.listening.tcp.as_ref().is_some_and(|tcp| tcp.accept().is_ok()) {
                come += 1;
            } else {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn state() -> std::sync::MutexGuard<'static, State> {
    HOST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Over several nodes the user says what all ranks of a run know.
pub(crate) fn token_of_user() -> Result<Token> {
    let (text, from) = if let Some(path) = std::env::var_os("TRAINLOOP_TOKEN_FILE").map(PathBuf::from) {
        let text = std::fs::read_to_string(&path).map_err(Error::io("read the token in", &path))?;
        (text, path.display().to_string())
    } else if let Ok(text) = std::env::var("TRAINLOOP_TOKEN") {
        (text, "TRAINLOOP_TOKEN".to_owned())
    } else {
        return Err(Error::config(
            "ranks on several nodes know each other by a token: put one into a file that every node can read and only you \
             (`umask 077; head -c 32 /dev/urandom | base64 > trainloop-token`), and set TRAINLOOP_TOKEN_FILE to its path on \
             every node",
        ));
    };
    let text = text.trim();
    if text.len() < 16 {
        return Err(Error::config(format!(
            "the token in {from} has {} characters, which can be guessed; take 16 or more at random",
            text.len()
        )));
    }
    Ok(Token::from_text(text))
}
