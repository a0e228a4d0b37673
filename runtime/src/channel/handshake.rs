//! How a worker and its driver recognise each other: both know the run's token, and neither sends it.
//!
//! The worker begins with its rank and a random number. The driver answers with one of its own, and with a keyed hash of both,
//! which only a holder of the token can make; the worker gives back another. So nobody who listens learns the token, a recorded
//! handshake is of no use, and a worker does not work for a stranger who has taken the driver's place. What follows is neither
//! encrypted nor signed.

use serde::{Deserialize, Serialize};

use super::{Decoder, Stream, Token, read_frame, write_frame};
use crate::error::{Error, Result};

/// A frame of the handshake is far shorter; a stranger that sends more is no worker.
pub(crate) const MAX_FRAME: usize = 256;

type Nonce = [u8; 32];

/// The worker's first frame.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Greeting {
    rank: usize,
    nonce: Nonce,
}

/// The driver's answer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Challenge {
    nonce: Nonce,
    proof: [u8; 32],
}

/// The worker's second frame.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Response {
    proof: [u8; 32],
}

/// Who proves something.
#[derive(Debug, Clone, Copy)]
enum Side {
    Driver,
    Worker,
}

fn proof(token: &Token, side: Side, greeting: &Greeting, driver: &Nonce) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(&token.key());
    hasher.update(match side {
        Side::Driver => b"driver",
        Side::Worker => b"worker",
    });
    hasher.update(&(greeting.rank as u64).to_le_bytes());
    hasher.update(&greeting.nonce);
    hasher.update(driver);
    hasher.finalize()
}

/// The worker's side, on a stream that blocks; false where the driver has ended, or closed, without an answer. An error where
/// the other side is not this run's driver.
pub(crate) fn introduce(stream: &Stream, token: &Token, rank: usize) -> Result<bool> {
    let greeting = Greeting { rank, nonce: Token::nonce()? };
    if write_frame(stream, &greeting).is_err() {
        return Ok(false);
    }
    let Some(challenge) = read_frame::<Challenge>(stream)? else { return Ok(false) };
    // `blake3::Hash` compares in constant time.
    if proof(token, Side::Driver, &greeting, &challenge.nonce) != challenge.proof {
        return Err(Error::channel(
            "who listens there does not know this run's token: it is another run's driver, or a stranger; see that all ranks \
             have the same token and address",
        ));
    }
    write_frame(stream, &Response { proof: *proof(token, Side::Worker, &greeting, &challenge.nonce).as_bytes() })?;
    Ok(true)
}

/// The driver's side of one connection, which never waits.
#[derive(Debug, Default)]
pub(crate) struct Introduction {
    challenged: Option<(usize, blake3::Hash)>,
}

/// How far a connection has come.
#[derive(Debug)]
pub(crate) enum Step {
    /// What it has sent is no whole frame yet.
    Wait,
    /// These bytes are to be sent to it.
    Answer(Vec<u8>),
    /// It knows the token, and is this rank.
    Known(usize),
}

impl Introduction {
    /// Takes what has come. An error where the other side cannot be a worker of this run.
    pub(crate) fn advance(&mut self, decoder: &mut Decoder, token: &Token) -> Result<Step> {
        match self.challenged {
            None => {
                let Some(greeting) = decoder.next::<Greeting>()? else { return Ok(Step::Wait) };
                let nonce = Token::nonce()?;
                self.challenged = Some((greeting.rank, proof(token, Side::Worker, &greeting, &nonce)));
                let challenge = Challenge { nonce, proof: *proof(token, Side::Driver, &greeting, &nonce).as_bytes() };
                let mut frame = Vec::new();
                write_frame(&mut frame, &challenge)?;
                Ok(Step::Answer(frame))
            }
            Some((rank, expected)) => {
                let Some(response) = decoder.next::<Response>()? else { return Ok(Step::Wait) };
                if expected == response.proof {
                    Ok(Step::Known(rank))
                } else {
                    Err(Error::channel(format!("a connection that says it is rank {rank} does not know the token")))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Plays the driver on one end of a socket until the worker is known or refused.
    fn drive(stream: &Stream, token: &Token) -> Result<usize> {
        let (mut introduction, mut decoder) = (Introduction::default(), Decoder::limited(MAX_FRAME));
        let mut buffer = [0; 7];
        loop {
            match introduction.advance(&mut decoder, token)? {
                Step::Known(rank) => return Ok(rank),
                Step::Answer(bytes) => std::io::Write::write_all(&mut &*stream, &bytes).unwrap(),
                Step::Wait => {
                    let read = std::io::Read::read(&mut &*stream, &mut buffer).unwrap();
                    if read == 0 {
                        return Err(Error::channel("closed"));
                    }
                    decoder.push(&buffer[..read]);
                }
            }
        }
    }

    fn meet(worker: &Token, driver: &Token) -> (Result<bool>, Result<usize>) {
        let (one, other) = UnixStream::pair().unwrap();
        let (one, other) = (Stream::Unix(one), Stream::Unix(other));
        std::thread::scope(|scope| {
            let driving = scope.spawn(move || drive(&other, driver));
            let introduced = introduce(&one, worker, 3);
            drop(one);
            (introduced, driving.join().unwrap())
        })
    }

    #[test]
    fn those_who_know_the_token_know_each_other() {
        let token = Token::random().unwrap();
        let (worker, driver) = meet(&token, &token);
        assert!(worker.unwrap());
        assert_eq!(driver.unwrap(), 3);
    }

    #[test]
    fn with_another_token_neither_trusts_the_other() {
        let (worker, driver) = meet(&Token::random().unwrap(), &Token::random().unwrap());
        assert!(worker.unwrap_err().to_string().contains("does not know this run's token"));
        driver.unwrap_err();
    }

    #[test]
    fn a_recorded_answer_opens_nothing() {
        let token = Token::random().unwrap();
        let greeting = Greeting { rank: 0, nonce: [7; 32] };
        let mut recorded = None;
        for _ in 0..2 {
            let (mut introduction, mut decoder) = (Introduction::default(), Decoder::limited(MAX_FRAME));
            let mut bytes = Vec::new();
            write_frame(&mut bytes, &greeting).unwrap();
            decoder.push(&bytes);
            let Step::Answer(answer) = introduction.advance(&mut decoder, &token).unwrap() else { panic!() };
            let challenge: Challenge = read_frame(answer.as_slice()).unwrap().unwrap();
            let response = recorded.unwrap_or(*proof(&token, Side::Worker, &greeting, &challenge.nonce).as_bytes());
            let mut bytes = Vec::new();
            write_frame(&mut bytes, &Response { proof: response }).unwrap();
            decoder.push(&bytes);
            let step = introduction.advance(&mut decoder, &token);
            assert_eq!(step.is_ok(), recorded.is_none());
            recorded = Some(response);
        }
    }

    #[test]
    fn rubbish_is_refused_before_it_is_read() {
        let token = Token::random().unwrap();
        let (mut introduction, mut decoder) = (Introduction::default(), Decoder::limited(MAX_FRAME));
        decoder.push(b"GET / HTTP/1.1\r\n\r\n");
        introduction.advance(&mut decoder, &token).unwrap_err();
    }
}
