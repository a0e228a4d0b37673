//! Files that are not what they should be: each is refused with what it is, and nothing in it is run.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use trainloop::Error;
use trainloop::weights::Weights;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::kept;

#[track_caller]
fn refused(path: &Path, words: &[&str]) {
    let error = Weights::open(path).unwrap_err();
    assert!(matches!(error, Error::DataFile { .. }), "{error}");
    let error = error.to_string();
    for words in words {
        assert!(error.contains(words), "{}: no {words:?} in: {error}", path.display());
    }
}

#[test]
fn what_is_no_dictionary_of_tensors_is_named() {
    refused(&kept("object.pt"), &["`__main__.Other`", "`model.state_dict()`"]);
    refused(&kept("sparse.pt"), &["`torch._utils._rebuild_sparse_tensor`"]);
    refused(&kept("complex.pt"), &["`torch.ComplexFloatStorage`"]);
    refused(&kept("legacy.pt"), &["before version 1.6"]);
    refused(&kept("tensor.pt"), &["no dictionary"]);
    refused(&kept("script.pt"), &["TorchScript"]);
    let missing = Weights::open(kept("absent.pt")).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
}

/// The members of net.pt, each changed by `change` or left out.
fn rewritten(change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.pt");
    let mut from = ZipArchive::new(fs::File::open(kept("net.pt")).unwrap()).unwrap();
    let mut to = ZipWriter::new(fs::File::create(&path).unwrap());
    for index in 0..from.len() {
        let mut member = from.by_index(index).unwrap();
        let name = member.name().unwrap().into_owned();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        if let Some(bytes) = change(&name, bytes) {
            to.start_file(&*name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
            to.write_all(&bytes).unwrap();
        }
    }
    to.finish().unwrap();
    (folder, path)
}

#[test]
fn a_call_is_refused_by_its_name() {
    // What `pickle.load` would run.
    let pickle = b"cposix\nsystem\n(X\x0b\0\0\0touch owned\x74R.";
    let (_folder, path) =
        rewritten(|name, bytes| Some(if name.ends_with("data.pkl") { pickle.to_vec() } else { bytes }));
    refused(&path, &["`posix.system`"]);
}

#[test]
fn storages_that_do_not_fit_are_named() {
    let (_folder, path) = rewritten(|name, bytes| (!name.ends_with("data/0")).then_some(bytes));
    refused(&path, &["data/0`"]);
    let (_folder, path) = rewritten(|name, mut bytes| {
        if name.ends_with("data/0") {
            bytes.truncate(4);
        }
        Some(bytes)
    });
    refused(&path, &["data/0` has 4 bytes"]);
    let (_folder, path) =
        rewritten(|name, bytes| Some(if name.ends_with("byteorder") { b"big".to_vec() } else { bytes }));
    refused(&path, &["big-endian"]);
    let (_folder, path) = rewritten(|name, bytes| (!name.ends_with("data.pkl")).then_some(bytes));
    refused(&path, &["without a `data.pkl`"]);
}

/// Cut anywhere, or with any byte of the pickle changed, a file is refused or read, and nothing panics.
#[test]
fn no_bytes_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pt");
    let bytes = fs::read(kept("net.pt")).unwrap();
    for length in (0..bytes.len()).step_by(97) {
        fs::write(&path, &bytes[..length]).unwrap();
        Weights::open(&path).unwrap_err();
    }
    let mut refusals = 0;
    for place in 0..400 {
        let (_folder, path) = rewritten(|name, mut bytes| {
            if name.ends_with("data.pkl")
                && let Some(byte) = bytes.get_mut(place)
            {
                *byte ^= 0x55;
            }
            Some(bytes)
        });
        refusals += u32::from(Weights::open(&path).is_err());
    }
    assert!(refusals > 200, "{refusals} of 400 changes are seen");
}

#[test]
fn a_flipped_bit_in_the_numbers_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flipped.pt");
    let mut bytes = fs::read(kept("net.pt")).unwrap();
    let mut archive = ZipArchive::new(std::io::Cursor::new(bytes.clone())).unwrap();
    let begin = archive.by_name("net/data/0").unwrap().data_start().unwrap();
    bytes[begin as usize] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut vars = super::loading::vars_like(&path);
    let error = Weights::open(&path).unwrap().load(&mut vars).unwrap_err().to_string();
    assert!(error.contains("`net/data/0` is damaged"), "{error}");
}

#[test]
fn what_is_neither_kind_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.safetensors");
    for bytes in [b"<html>404</html>".as_slice(), b"", b"P", b"PK\x03\x04"] {
        fs::write(&path, bytes).unwrap();
        refused(&path, &["page.safetensors"]);
    }
}
