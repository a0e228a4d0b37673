//! Files of PyTorch's: a zip archive with a pickle and a member for each storage.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};
use trainloop_checkpoint::state_dict::{StateDict, StoredTensor};
use zip::ZipArchive;
use zip::result::ZipError;

use super::source::Take;
use crate::error::{Error, Result};
use crate::state::kind_of;

/// An archive whose pickle has been read.
pub(super) struct PtFile {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
    /// Before each member's name, with its slash; the name that the file had when it was written.
    folder: String,
    state: StateDict,
}

impl PtFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let refuse = |reason: String| Error::data_file(path, reason);
        let mut archive = ZipArchive::new(BufReader::new(file))
            .map_err(|error| refuse(format!("it begins as a zip archive and is none: {error}")))?;
        let names: HashSet<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
        let pickle = names.iter().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"));
        let Some(pickle) = pickle else {
            return Err(refuse("it is a zip archive without a `data.pkl`, and so none of `torch.save`".to_owned()));
        };
        let folder = pickle.strip_suffix("data.pkl").unwrap_or_default().to_owned();
        if names.contains(&format!("{folder}constants.pkl")) {
            return Err(refuse(
                "it is a TorchScript archive, a program with its weights; in Python, save its `state_dict()`"
                    .to_owned(),
            ));
        }
        let order = format!("{folder}byteorder");
        if names.contains(&order) {
            let order = member(&mut archive, &order, length).map_err(refuse)?;
            if order != b"little" {
                return Err(refuse("its numbers are big-endian, which are not read".to_owned()));
            }
        }
        let pickle = member(&mut archive, pickle, length).map_err(refuse)?;
        let state = StateDict::read(&pickle).map_err(refuse)?;
        for (key, (dtype, elements)) in &state.storages {
            let name = format!("{folder}data/{key}");
            let stored = archive.by_name(&name).map_err(|error| refuse(told(&name, &error)))?;
            if elements.checked_mul(dtype.size()) != Some(stored.size()) || stored.size() > length {
                return Err(refuse(format!(
                    "`{name}` has {} bytes, and its tensors say {elements} numbers of {}",
                    stored.size(),
                    dtype.name()
                )));
            }
        }
        Ok(Self { path: path.to_owned(), archive, folder, state })
    }

    pub(super) fn layouts(&self) -> BTreeMap<String, (Vec<i64>, Kind)> {
        let layout = |tensor: &StoredTensor| (tensor.name.clone(), (tensor.shape.clone(), kind_of(tensor.dtype)));
        self.state.tensors.iter().map(layout).collect()
    }

    /// One storage at a time, whichever tensors have a part of it.
    pub(super) fn read(mut self, names: &BTreeSet<String>, take: Take<'_>) -> Result<()> {
        let mut of_storage: BTreeMap<&str, Vec<&StoredTensor>> = BTreeMap::new();
        for tensor in self.state.tensors.iter().filter(|tensor| names.contains(&tensor.name)) {
            of_storage.entry(&tensor.storage).or_default().push(tensor);
        }
        for (key, tensors) in of_storage {
            let (dtype, elements) = self.state.storages[key];
            let name = format!("{}data/{key}", self.folder);
            let refuse = |reason: String| Error::data_file(&self.path, reason);
            let size = elements * dtype.size();
            let bytes = member(&mut self.archive, &name, size).map_err(refuse)?;
            // Opening has compared this; libtorch would read past the end.
            if bytes.len() as u64 != size {
                return Err(refuse(format!("`{name}` has other than its {size} bytes")));
            }
            let storage = Tensor::f_from_data_size(&bytes, &[elements as i64], kind_of(dtype))?;
            for tensor in tensors {
                take(&tensor.name, &storage.f_as_strided(&tensor.shape, &tensor.strides, tensor.offset)?)?;
            }
        }
        Ok(())
    }
}

/// The bytes of a member, of which there can be no more than `most`; its checksum is compared.
fn member(archive: &mut ZipArchive<BufReader<File>>, name: &str, most: u64) -> Result<Vec<u8>, String> {
    let mut member = archive.by_name(name).map_err(|error| told(name, &error))?;
    let size = member.size();
    if size > most {
        return Err(format!("`{name}` would have {size} bytes, more than there can be"));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    member.by_ref().take(most + 1).read_to_end(&mut bytes).map_err(|error| format!("`{name}` is damaged: {error}"))?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(format!("`{name}` has other than its {size} bytes")) }
}

fn told(name: &str, error: &ZipError) -> String {
    match error {
        ZipError::FileNotFound => format!("it has no `{name}`"),
        ZipError::CompressionMethodNotSupported(_) => format!("`{name}` is compressed, which `torch.save` never does"),
        error => format!("`{name}` cannot be read: {error}"),
    }
}

impl std::fmt::Debug for PtFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PtFile").field("path", &self.path).field("state", &self.state).finish_non_exhaustive()
    }
}
