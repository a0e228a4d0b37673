//! What a worker process is told at its start, in one environment variable; a spare hears it later, on its standard input.

use crate::channel::Token;
use crate::error::{Error, Result};

/// Where the driver listens, and what to say there. The environment of a process is readable by its own user alone.
#[derive(Debug)]
pub(crate) struct Invitation {
    pub(crate) rank: usize,
    /// The driver's process id.
    pub(crate) driver: i32,
    /// The name of its socket, in Linux's abstract namespace: no file, and gone with the driver.
    pub(crate) socket: String,
    pub(crate) token: Token,
}

impl Invitation {
    pub(crate) const VARIABLE: &str = "TRAINLOOP_WORKER";

    pub(crate) fn write(&self) -> String {
        format!("{}:{}:{}:{}", self.rank, self.driver, self.socket, self.token.text())
    }

    /// What the variable of a spare says: its invitation may come, from this driver.
    pub(crate) fn of_a_spare(driver: i32) -> String {
        format!("{SPARE}{driver}")
    }

    /// The driver of which a spare is to hear.
    pub(crate) fn driver_of_a_spare(text: &str) -> Option<i32> {
        text.strip_prefix(SPARE)?.parse().ok()
    }

    pub(crate) fn read(text: &str) -> Result<Self> {
        let parse = || {
            let mut parts = text.split(':');
            let invitation = Self {
                rank: parts.next()?.parse().ok()?,
                driver: parts.next()?.parse().ok()?,
                socket: parts.next()?.to_owned(),
                token: Token::from_text(parts.next()?),
            };
            parts.next().is_none().then_some(invitation)
        };
        parse().ok_or_else(|| {
            Error::channel(format!("the environment variable {} is set by trainloop alone; unset it", Self::VARIABLE))
        })
    }
}

const SPARE: &str = "spare:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_reads_back() {
        let token = Token::random().unwrap();
        let invitation = Invitation { rank: 3, driver: 42, socket: "trainloop-x".into(), token };
        let back = Invitation::read(&invitation.write()).unwrap();
        assert_eq!((back.rank, back.driver, back.socket.as_str()), (3, 42, "trainloop-x"));
        assert_eq!(back.token, invitation.token);
    }

    #[test]
    fn a_spare_knows_its_driver() {
        assert_eq!(Invitation::driver_of_a_spare(&Invitation::of_a_spare(42)), Some(42));
        for text in ["", "spare", "spare:", "spare:x", "1:2:s:t"] {
            assert_eq!(Invitation::driver_of_a_spare(text), None);
        }
    }

    #[test]
    fn a_strangers_value_is_refused_by_the_variables_name() {
        for text in ["", "1", "1:2:3", "x:1:s:t", "1:2:s:t:u", "spare:", "spare:x"] {
            let error = Invitation::read(text).unwrap_err().to_string();
            assert!(error.contains("TRAINLOOP_WORKER"), "{error}");
        }
    }
}
