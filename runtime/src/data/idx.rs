//! IDX files, the format of MNIST: a magic number, the sizes of the dimensions, then bytes; gzipped or not.
//! See Yann `LeCun`, *The MNIST database of handwritten digits*.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::error::{Error, Result};

/// An array of bytes with its dimensions, as an IDX file holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxArray {
    /// The sizes of the dimensions: `[samples, rows, columns]` for images, `[samples]` for labels.
    pub dims: Vec<usize>,
    /// The values, the last dimension fastest.
    pub data: Vec<u8>,
}

/// An IDX file of unsigned bytes holds this type code in its magic number.
const UNSIGNED_BYTES: u8 = 0x08;

/// No array of ours has more dimensions; a larger number is a damaged header.
const MAX_DIMS: usize = 8;

/// Reads `path`, or `path.gz` where only that is there. A file that begins as gzip is unpacked.
///
/// # Errors
/// [`Error::Io`] where neither is there; [`Error::DataFile`] where it is no IDX file of unsigned bytes, or holds fewer or
/// more bytes than its header says.
pub fn read(path: impl AsRef<Path>) -> Result<IdxArray> {
    let path = path.as_ref();
    let mut gz = path.as_os_str().to_owned();
    gz.push(".gz");
    let found = if path.exists() { path } else { Path::new(&gz) };
    // The name that was asked for is the one to report as missing.
    let file = File::open(found).map_err(Error::io("open", if found.exists() { found } else { path }))?;
    let mut reader = BufReader::new(file);
    let magic = std::io::BufRead::fill_buf(&mut reader).map_err(Error::io("read", found))?;
    let array = if magic.starts_with(&[0x1f, 0x8b]) { parse(GzDecoder::new(reader)) } else { parse(reader) };
    array.map_err(|reason| Error::data_file(found, reason))
}

fn parse(mut reader: impl Read) -> Result<IdxArray, String> {
    let mut magic = [0; 4];
    fill(&mut reader, &mut magic, "its magic number")?;
    let [0, 0, kind, dims] = magic else {
        return Err(format!("no IDX file: it begins with {magic:02x?} instead of two zero bytes"));
    };
    if kind != UNSIGNED_BYTES {
        return Err(format!("its values are of type 0x{kind:02x}; only unsigned bytes (0x08) are read"));
    }
    let rank = usize::from(dims);
    if !(1..=MAX_DIMS).contains(&rank) {
        return Err(format!("its header says {rank} dimensions; 1 to {MAX_DIMS} are possible"));
    }
    let mut dims = Vec::with_capacity(rank);
    for _ in 0..rank {
        let mut size = [0; 4];
        fill(&mut reader, &mut size, "the sizes of its dimensions")?;
        dims.push(u32::from_be_bytes(size) as usize);
    }
    let expected = dims
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size))
        .ok_or_else(|| format!("its dimensions {dims:?} are more than memory can hold"))?;

    // A damaged header must not claim memory that the file does not fill.
    let mut data = Vec::new();
    reader
        .take(expected as u64 + 1)
        .read_to_end(&mut data)
        .map_err(|error| format!("damaged after {} of {expected} bytes: {error}", data.len()))?;
    match data.len() {
        length if length < expected => {
            Err(format!("truncated: {length} bytes of data where its dimensions {dims:?} ask for {expected}"))
        }
        length if length > expected => {
            Err(format!("damaged: more than the {expected} bytes that its dimensions {dims:?} ask for"))
        }
        _ => Ok(IdxArray { dims, data }),
    }
}

fn fill(reader: &mut impl Read, buffer: &mut [u8], what: &str) -> Result<(), String> {
    reader.read_exact(buffer).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => format!("truncated: it ends inside {what}"),
        _ => format!("cannot read {what}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn images() -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3];
        bytes.extend([1, 2, 3, 4, 5, 6]);
        bytes
    }

    fn written(bytes: &[u8], name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn reads_plain_and_gzipped_by_the_plain_name() {
        let expected = IdxArray { dims: vec![2, 1, 3], data: vec![1, 2, 3, 4, 5, 6] };
        let (_folder, path) = written(&images(), "images");
        assert_eq!(read(&path).unwrap(), expected);
        let (folder, _) = written(&gzipped(&images()), "images.gz");
        assert_eq!(read(folder.path().join("images")).unwrap(), expected);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_by_name() {
        for (bytes, name) in [(images(), "images"), (gzipped(&images()), "images.gz")] {
            for length in 0..bytes.len() {
                let (_folder, path) = written(&bytes[..length], name);
                let error = read(&path).unwrap_err();
                assert!(matches!(error, Error::DataFile { .. }), "cut at {length}: {error}");
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }

    #[test]
    fn damage_is_named() {
        let cases: [(&[u8], &str); 5] = [
            (b"PNG!", "no IDX file"),
            (&[0, 0, 0x0d, 1, 0, 0, 0, 0], "0x0d"),
            (&[0, 0, 8, 200], "200 dimensions"),
            (&[0, 0, 8, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255], "memory"),
            (&[0, 0, 8, 1, 0, 0, 0, 1, 7, 7], "more than the 1 bytes"),
        ];
        for (bytes, words) in cases {
            let (_folder, path) = written(bytes, "bad");
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named_as_it_was_asked_for() {
        let error = crate::error::with_causes(&read("/nowhere/images").unwrap_err());
        assert!(error.starts_with("cannot open /nowhere/images: "), "{error}");
    }
}
