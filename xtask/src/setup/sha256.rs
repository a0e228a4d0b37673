//! Checksums of downloaded files.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use crate::failure::{Doing, Result, fail};

/// The SHA-256 of a file.
pub(super) fn of_file(path: &Path, progress: &ProgressBar) -> Result<[u8; 32]> {
    let what = || format!("cannot read {}", path.display());
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).doing(what)?);
    let mut sum = Sha256::new();
    loop {
        let bytes = file.fill_buf().doing(what)?;
        if bytes.is_empty() {
            return Ok(sum.finalize().into());
        }
        let count = bytes.len();
        sum.update(bytes);
        file.consume(count);
        progress.inc(count as u64);
    }
}

/// Refuses a file whose sum is not `wanted`, in hexadecimal, and says both.
pub(super) fn require(path: &Path, wanted: &str, found: &[u8; 32]) -> Result<()> {
    let found = hex(found);
    if found == wanted {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    fail(format!(
        "wrong checksum of {name}: it is not the file this release was made from, or it was damaged on its way\n  \
         wanted sha256 {wanted}\n  found  sha256 {found}\n  \
         nothing was installed: try again, and if it stays so, ask whoever runs the package index or mirror"
    ))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// As HTTP headers spell a sum.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place > group.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_sum_says_both() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc.whl");
        std::fs::write(&path, "abc").unwrap();
        let sum = of_file(&path, &ProgressBar::hidden()).unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(require(&path, known, &sum).is_ok());
        let other = "0".repeat(64);
        let text = require(&path, &other, &sum).unwrap_err().to_string();
        assert!(text.contains(known) && text.contains(&other), "{text}");
        assert!(text.contains("abc.whl"), "{text}");
    }

    #[test]
    fn base64_pads_as_the_standard_does() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
