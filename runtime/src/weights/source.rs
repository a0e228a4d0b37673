//! The two kinds of files, behind one door.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};

use super::pt::PtFile;
use crate::error::{Error, Result};
use crate::state::TensorFile;

/// How a zip archive begins.
const ZIP: &[u8] = b"PK\x03\x04";
/// How a pickle of protocol 2 or later begins: what `torch.save` wrote before it wrote archives.
const PICKLE: u8 = 0x80;

/// An opened file.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    kind: FileKind,
}

#[derive(Debug)]
enum FileKind {
    Safetensors(TensorFile),
    Pt(PtFile),
}

/// Takes a tensor with its name in the file.
pub(super) type Take<'a> = &'a mut dyn FnMut(&str, &Tensor) -> Result<()>;

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let mut begin = Vec::new();
        file.by_ref().take(4).read_to_end(&mut begin).map_err(Error::io("read", path))?;
        let kind = match &begin[..] {
            ZIP => FileKind::Pt(PtFile::open(path)?),
            // A safetensors file begins with a length, which may happen to be such.
            [PICKLE, 2..=5, ..] if TensorFile::open(path).is_err() => {
                return Err(Error::data_file(
                    path,
                    "it is a bare pickle, as PyTorch wrote before version 1.6; in Python, load it and save its state dict again",
                ));
            }
            _ => FileKind::Safetensors(TensorFile::open(path).map_err(|error| match error {
                Error::Checkpoint(reason) => Error::data_file(
                    path,
                    format!("it is neither a `.safetensors` file nor an archive of PyTorch's: {reason}"),
                ),
                other => other,
            })?),
        };
        Ok(Self { path: path.to_owned(), kind })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn layouts(&self) -> BTreeMap<String, (Vec<i64>, Kind)> {
        match &self.kind {
            FileKind::Safetensors(file) => {
                file.layouts().into_iter().map(|(name, layout)| (name.to_owned(), layout)).collect()
            }
            FileKind::Pt(file) => file.layouts(),
        }
    }

    /// Reads these tensors one after the other, on the CPU.
    pub(super) fn read(self, names: &BTreeSet<String>, take: Take<'_>) -> Result<()> {
        match self.kind {
            FileKind::Safetensors(file) => file.read_some(|name| names.contains(name), take),
            FileKind::Pt(file) => file.read(names, take),
        }
    }
}
