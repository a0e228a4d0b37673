//! A state as files of a checkpoint.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::reader::Parts;
use super::{StateReader, StateWriter, TrainState, safetensors};
use crate::c10d::aten::copy_values;
use crate::channel::encode;
use crate::error::{Error, Result};
use crate::random::{Generators, GeneratorsState};

/// The version of [`RankFile`].
const FORMAT: u32 = 1;

/// What one rank writes besides tensors.
#[derive(Serialize, Deserialize)]
struct RankFile {
    format: u32,
    rank: usize,
    world_size: usize,
    /// `ctx.step` calls so far.
    steps: u64,
    /// The generator that libtorch's functions use on the CPU.
    generator: Vec<u8>,
    /// That of the rank's CUDA device, if it has one.
    #[serde(default)]
    cuda_generator: Option<Vec<u8>>,
    values: BTreeMap<String, Vec<u8>>,
}

/// What a rank knows beside the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    pub(crate) steps: u64,
    /// Where the rank computes.
    pub(crate) device: Device,
}

/// Who restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reader {
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    pub(crate) device: Device,
}

fn rank_file(rank: usize) -> String {
    format!("{RANKS}/rank-{rank}.msgpack")
}

/// One rank's part of a state, as files that are yet to be written.
#[derive(Debug)]
pub(crate) struct Prepared {
    files: Vec<(String, Content)>,
}

#[derive(Debug)]
enum Content {
    /// Handles, or copies.
    Tensors(Vec<(String, Tensor)>),
    Bytes(Vec<u8>),
}

/// Takes the bytes of a file, a piece at a time.
type Take<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// This rank's part of a state: handles of its tensors, and its plain values as they are now.
pub(crate) fn prepare<S: TrainState>(state: &S, saved: Saved) -> Result<Prepared> {
    let mut writer = StateWriter::default();
    state.save(&mut writer)?;
    let StateWriter { tensors, rank_tensors, values, .. } = writer;
    let Saved { rank, world_size, steps, device } = saved;
    let mut files = Vec::new();
    // The other ranks' tensors are replicas of rank 0's.
    if rank == 0 {
        files.extend(tensors.into_iter().map(|(path, tensors)| (tensor_file(&path), Content::Tensors(tensors))));
    }
    let own = rank_tensors.into_iter();
    files.extend(own.map(|(path, tensors)| (rank_tensor_file(rank, &path), Content::Tensors(tensors))));
    let GeneratorsState { cpu: generator, cuda: cuda_generator } = Generators::of(device).state()?;
    let file = RankFile { format: FORMAT, rank, world_size, steps, generator, cuda_generator, values };
    files.push((rank_file(rank), Content::Bytes(encode(&file, "write the state")?)));
    Ok(Prepared { files })
}

impl Prepared {
    /// Writes every file through `write_file`, which is given its name and what hands over its bytes.
    pub(crate) fn write(
        &self,
        mut write_file: impl FnMut(&str, &mut dyn FnMut(Take<'_>) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        self.files.iter().try_for_each(|(name, content)| {
            write_file(name, &mut |take| match content {
                Content::Tensors(tensors) => safetensors::write(tensors, take),
                Content::Bytes(bytes) => take(bytes),
            })
        })
    }

    /// The same with copies of the tensors, on the CPU: in the memory of `spare`, an earlier copy, where they fit.
    pub(crate) fn copied(self, spare: Option<Self>) -> Result<Self> {
        let mut spare: HashMap<(String, String), Tensor> = spare.map(Self::into_tensors).unwrap_or_default();
        let mut copy = |file: &str, (name, tensor): (String, Tensor)| -> Result<(String, Tensor)> {
            let fits = |spare: &Tensor| (spare.size(), spare.kind()) == (tensor.size(), tensor.kind());
            let memory = spare.remove(&(file.to_owned(), name.clone())).filter(fits);
            let memory = match memory {
                Some(memory) => memory,
                None => Tensor::f_empty(tensor.size(), (tensor.kind(), Device::Cpu))?,
            };
            copy_values(&memory, &tensor)?;
            Ok((name, memory))
        };
        let copied = |(file, content): (String, Content)| {
            let content = match content {
                Content::Tensors(tensors) => {
                    Content::Tensors(tensors.into_iter().map(|named| copy(&file, named)).collect::<Result<_>>()?)
                }
                bytes @ Content::Bytes(_) => bytes,
            };
            Ok((file, content))
        };
        Ok(Self { files: self.files.into_iter().map(copied).collect::<Result<_>>()? })
    }

    fn into_tensors(self) -> HashMap<(String, String), Tensor> {
        let named = self.files.into_iter().flat_map(|(file, content)| {
            let tensors = if let Content::Tensors(tensors) = content { tensors } else { Vec::new() };
            tensors.into_iter().map(move |(name, tensor)| ((file.clone(), name), tensor))
        });
        named.collect()
    }
}

/// Fills `state` from the checkpoint in `directory` and puts the generator back; gives the step it was saved at.
///
/// A rank gets its own values back; one that the checkpoint does not know, as after growing, gets rank 0's.
pub(crate) fn restore<S: TrainState>(state: &mut S, directory: &Path, reader: Reader) -> Result<u64> {
    let Reader { rank, world_size, device } = reader;
    let own = directory.join(rank_file(rank));
    let path = if own.exists() { own } else { directory.join(rank_file(0)) };
    if !path.exists() {
        return Err(Error::checkpoint(format!(
            "{} holds files of your own and no saved state; read them with `checkpoint.as_directory`",
            directory.display()
        )));
    }
    let file = read_rank_file(&path)?;
    let parts = Parts {
        directory,
        rank,
        world_size,
        saved_world_size: file.world_size,
        values: file.values,
        tensors: tensor_files(directory)?,
        rank_tensors: rank_tensor_files(directory)?,
        taken: RefCell::default(),
    };
    state.restore(&StateReader::new(&parts))?;
    let left_over = parts.left_over();
    if !left_over.is_empty() {
        return Err(Error::checkpoint(format!(
            "the checkpoint {} holds `{}`, which the state does not ask for; was a field removed or renamed since? \
             (`#[state(rename = \"…\")]` keeps an old name)",
            directory.display(),
            left_over.join("`, `")
        )));
    }
    // Last: restoring may itself draw random numbers.
    let generators = GeneratorsState { cpu: file.generator, cuda: file.cuda_generator };
    Generators::of(device).load_state(&generators)?;
    Ok(file.steps)
}

fn read_rank_file(path: &Path) -> Result<RankFile> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let file: RankFile = rmp_serde::from_slice(&bytes)
        .map_err(|error| Error::checkpoint(format!("{} cannot be read: {error}", path.display())))?;
    if file.format == FORMAT {
        return Ok(file);
    }
    Err(Error::checkpoint(format!(
        "{} has format {}, and this version of trainloop ({}) reads format {FORMAT}",
        path.display(),
        file.format,
        env!("CARGO_PKG_VERSION")
    )))
}

/// What a rank saved beside tensors, as bytes, by place.
pub(super) fn values_of_rank(directory: &Path, rank: usize) -> Result<BTreeMap<String, Vec<u8>>> {
    Ok(read_rank_file(&directory.join(rank_file(rank)))?.values)
}

/// The file of tensors that are one rank's own.
pub(super) fn rank_tensor_file(rank: usize, path: &str) -> String {
    format!("{RANKS}/rank-{rank}.{}", tensor_file(path))
}

/// The folder of what each rank writes.
const RANKS: &str = "ranks";
const SUFFIX: &str = ".safetensors";

/// The file of the tensors at a place.
pub(super) fn tensor_file(path: &str) -> String {
    format!("{}{SUFFIX}", stem(path))
}

/// The name of that file, without its suffix: the place, or `state` for the state itself.
pub(super) fn stem(path: &str) -> &str {
    if path.is_empty() { "state" } else { path }
}

/// The stems of the files of tensors in a checkpoint.
fn tensor_files(directory: &Path) -> Result<BTreeSet<String>> {
    let names = names(directory)?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(SUFFIX)).map(str::to_owned).collect())
}

/// The stems of the files of tensors that are any rank's own.
fn rank_tensor_files(directory: &Path) -> Result<BTreeSet<String>> {
    let names = names(&directory.join(RANKS))?;
    let stem = |name: &String| {
        let (_, place) = name.strip_suffix(SUFFIX)?.strip_prefix("rank-")?.split_once('.')?;
        Some(place.to_owned())
    };
    Ok(names.iter().filter_map(stem).collect())
}

fn names(directory: &Path) -> Result<Vec<String>> {
    std::fs::read_dir(directory)
        .map_err(Error::io("list", directory))?
        .map(|entry| Ok(entry.map_err(Error::io("list", directory))?.file_name().to_string_lossy().into_owned()))
        .collect()
}
