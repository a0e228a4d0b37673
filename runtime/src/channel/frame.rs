//! Frames: four bytes of length, little-endian, then a message in `MessagePack`.

use std::io::{ErrorKind, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// No message of ours comes near; a longer frame is a stranger on the socket, or a metrics value gone wild.
const MAX_FRAME: usize = 64 * 1024 * 1024;

/// A value in the channel's encoding, with field names, so that any serde type reads back.
pub(crate) fn encode<T: Serialize>(value: &T, what: &'static str) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(|error| Error::serde(what, error))
}

/// The value that [`encode`] wrote.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| Error::serde(what, error))
}

/// Writes one frame in one call.
pub(crate) fn write_frame<T: Serialize>(mut writer: impl Write, message: &T) -> Result<()> {
    let mut bytes = vec![0; 4];
    rmp_serde::encode::write_named(&mut bytes, message).map_err(|error| Error::serde("write a frame", error))?;
    let length = bytes.len() - 4;
    if length > MAX_FRAME {
        return Err(Error::channel(format!(
            "a message of {length} bytes is over the channel's limit of {MAX_FRAME}; report smaller metrics, and write \
             large data to a file"
        )));
    }
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    writer.write_all(&bytes).map_err(|error| Error::channel(format!("the channel to the driver is closed: {error}")))
}

/// Reads one frame; `None` where the other side has closed between frames.
pub(crate) fn read_frame<T: DeserializeOwned>(mut reader: impl Read) -> Result<Option<T>> {
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    loop {
        if let Some(message) = decoder.next()? {
            return Ok(Some(message));
        }
        // Never more than the frame at hand: the next reader begins where this one ends.
        let wanted = decoder.missing().min(buffer.len());
        match reader.read(&mut buffer[..wanted]) {
            Ok(0) if decoder.is_empty() => return Ok(None),
            Ok(0) => return Err(Error::channel("the channel closed inside a message")),
            Ok(read) => decoder.push(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Closed, with something of ours unread.
            Err(error) if error.kind() == ErrorKind::ConnectionReset && decoder.is_empty() => return Ok(None),
            Err(error) => return Err(Error::channel(format!("the channel failed: {error}"))),
        }
    }
}

/// A decoder that waits keeps so much memory, or what the beginning of a frame takes: there may be thousands.
const KEPT: usize = 1024;

/// Puts frames together from pieces as they come.
#[derive(Debug)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    /// So many of them are read.
    read: usize,
    /// The longest frame that is taken.
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::limited(MAX_FRAME)
    }
}

impl Decoder {
    /// For frames of so many bytes at most.
    pub(crate) fn limited(limit: usize) -> Self {
        Self { bytes: Vec::new(), read: 0, limit }
    }

    /// From now on frames of any length that the channel carries are taken.
    pub(crate) fn lift_limit(&mut self) {
        self.limit = MAX_FRAME;
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What is not read yet.
    fn rest(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    fn len(&self) -> usize {
        self.rest().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    fn length(&self) -> Option<usize> {
        let header = self.rest().first_chunk::<4>()?;
        Some(u32::from_le_bytes(*header) as usize)
    }

    /// How many bytes the frame at hand still lacks.
    fn missing(&self) -> usize {
        match self.length() {
            None => 4 - self.len(),
            Some(length) => (4 + length).saturating_sub(self.len()),
        }
    }

    /// The next whole message, if it is here.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let Some(length) = self.length() else { return Ok(self.wait()) };
        if length > self.limit {
            return Err(Error::channel(format!("a frame of {length} bytes is over the limit of {}", self.limit)));
        }
        let Some(body) = self.rest().get(4..4 + length) else { return Ok(self.wait()) };
        let message = decode(body, "read a frame")?;
        self.read += 4 + length;
        Ok(Some(message))
    }

    /// The frame at hand is not whole: makes room. So what is left is moved once for all frames before it, not once for each.
    fn wait<T>(&mut self) -> Option<T> {
        if self.read > 0 {
            self.bytes.drain(..self.read);
            self.read = 0;
            self.bytes.shrink_to(KEPT);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::ToController;

    fn progress(done: u64) -> ToController {
        ToController::Progress { done, total: 9 }
    }

    fn done(message: &ToController) -> u64 {
        match message {
            ToController::Progress { done, .. } => *done,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn frames_cut_anywhere_come_out_whole() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &progress(1)).unwrap();
        write_frame(&mut bytes, &progress(2)).unwrap();
        for cut in 0..bytes.len() {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in [&bytes[..cut], &bytes[cut..]] {
                decoder.push(piece);
                while let Some(message) = decoder.next::<ToController>().unwrap() {
                    seen.push(done(&message));
                }
            }
            assert_eq!(seen, [1, 2], "cut at {cut}");
        }
    }

    /// Pieces that end inside frames, each taken as far as it goes; then nothing is left of them.
    #[test]
    fn a_long_stream_of_frames_leaves_no_memory() {
        let mut bytes = Vec::new();
        for number in 0..5000 {
            write_frame(&mut bytes, &progress(number)).unwrap();
        }
        let (mut decoder, mut next) = (Decoder::default(), 0);
        for piece in bytes.chunks(30_011) {
            decoder.push(piece);
            while let Some(message) = decoder.next::<ToController>().unwrap() {
                assert_eq!(done(&message), next);
                next += 1;
            }
        }
        assert_eq!((next, decoder.len(), decoder.missing()), (5000, 0, 4));
        assert!(decoder.bytes.capacity() <= KEPT, "{}", decoder.bytes.capacity());
    }

    #[test]
    fn a_reader_takes_one_frame_and_no_more() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &progress(1)).unwrap();
        write_frame(&mut bytes, &progress(2)).unwrap();
        let mut reader = bytes.as_slice();
        assert_eq!(done(&read_frame(&mut reader).unwrap().unwrap()), 1);
        assert_eq!(done(&read_frame(&mut reader).unwrap().unwrap()), 2);
        assert!(read_frame::<ToController>(&mut reader).unwrap().is_none());
    }

    #[test]
    fn rubbish_is_an_error_and_allocates_nothing() {
        let mut decoder = Decoder::default();
        decoder.push(b"GET / HTTP/1.1\r\n\r\n");
        let error = decoder.next::<ToController>().unwrap_err().to_string();
        assert!(error.contains("over the limit"), "{error}");

        let mut cut = Vec::new();
        write_frame(&mut cut, &progress(1)).unwrap();
        cut.pop();
        let error = read_frame::<ToController>(cut.as_slice()).unwrap_err().to_string();
        assert!(error.contains("closed inside a message"), "{error}");
    }

    #[test]
    fn nan_and_infinity_stay_what_they_are() {
        let bytes = encode(&[f64::NAN, f64::INFINITY, -0.0], "test").unwrap();
        let back: [f64; 3] = decode(&bytes, "test").unwrap();
        assert!(back[0].is_nan() && back[1] == f64::INFINITY && back[2].is_sign_negative());
    }
}
