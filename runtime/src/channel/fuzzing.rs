//! What must hold of any bytes on the channel: the fuzz target `channel` calls this, and so does a test with the corpus that is
//! kept for it.
//!
//! The target is compiled without libtorch, from this folder's files and a few stand-ins: `fuzz/fuzz_targets/channel/`.
//!
//! # Panics
//! Where it does not hold, which is how a fuzzer is told.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channel::handshake::{self, Introduction, Step};
use crate::channel::{Decoder, ToController, ToWorker, Token, decode, encode, read_frame};
use crate::controller::record;

/// The driver, a worker, the driver's door, and the driver's records.
const LISTENERS: u8 = 4;

/// The first byte says what listens, the second into how long pieces the rest is cut.
pub(crate) fn any_bytes(bytes: &[u8]) {
    let Some((&[listener, piece], stream)) = bytes.split_first_chunk() else { return };
    let piece = usize::from(piece) + 1;
    match listener % LISTENERS {
        0 => frames::<ToController>(stream, piece),
        1 => frames::<ToWorker>(stream, piece),
        2 => stranger(stream, piece),
        _ => metrics(stream),
    }
}

/// However a stream is cut, the same messages come out of it, up to the same end; and each reads back as it was.
fn frames<T: Serialize + DeserializeOwned>(stream: &[u8], piece: usize) {
    let whole = heard::<T>([stream].into_iter());
    assert_eq!(heard::<T>(stream.chunks(piece)), whole);
    let mut reader = stream;
    for message in &whole.0 {
        let read = read_frame::<T>(&mut reader).expect("it was read before").expect("as before");
        assert_eq!(&encode(&read, "write it").expect("it was written before"), message);
        let again: T = decode(message, "read it").expect("what was written can be read");
        assert_eq!(&encode(&again, "write it").expect("it was written before"), message);
    }
    // Then comes the end, an error, or a frame that is not all there.
    assert!(!matches!(read_frame::<T>(&mut reader), Ok(Some(_))));
}

/// The messages of a stream, written again, and whether it ends with what is none.
fn heard<'a, T: Serialize + DeserializeOwned>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
    let (mut decoder, mut heard) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next::<T>() {
                Ok(Some(message)) => heard.push(encode(&message, "write it").expect("what was read can be written")),
                Ok(None) => break,
                Err(_) => return (heard, true),
            }
        }
    }
    (heard, false)
}

/// Who does not know the token is never taken for a worker, is answered once at most, and cut off after two frames of the
/// handshake, whatever the frames claim to be.
fn stranger(stream: &[u8], piece: usize) {
    let token = Token::from_text("correct horse battery staple");
    let (mut introduction, mut decoder) = (Introduction::default(), Decoder::limited(handshake::MAX_FRAME));
    let (mut answers, mut read) = (0, 0);
    for piece in stream.chunks(piece) {
        decoder.push(piece);
        read += piece.len();
        loop {
            match introduction.advance(&mut decoder, &token) {
                Ok(Step::Wait) => break,
                Ok(Step::Answer(_)) => answers += 1,
                Ok(Step::Known(rank)) => panic!("a stranger was taken for rank {rank}"),
                Err(_) => return,
            }
        }
        assert!(answers <= 1, "{answers} answers");
        assert!(read < 2 * (4 + handshake::MAX_FRAME), "{read} bytes of a stranger's were read");
    }
}

/// What a worker reports is of the user's types, so it can be any `MessagePack`: it becomes JSON, or an error.
fn metrics(bytes: &[u8]) {
    let Ok(value) = record(bytes) else { return };
    let text = serde_json::to_string(&value).expect("a record can be written");
    assert!(!text.contains('\n'), "a record is one line");
}

#[cfg(test)]
mod tests {
    use std::fs;

    /// The seeds of the fuzzer, and whatever it has found: on any toolchain.
    #[test]
    fn the_corpus_holds() {
        let mut seeds = [0; super::LISTENERS as usize];
        for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/channel")).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            super::any_bytes(&bytes);
            seeds[usize::from(bytes[0] % super::LISTENERS)] += 1;
        }
        assert!(seeds.iter().all(|seeds| *seeds >= 3), "{seeds:?} seeds");
    }
}
