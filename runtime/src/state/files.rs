//! A state as files of a checkpoint.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::Device;

use super::reader::Parts;
use super::{StateReader, StateWriter, TrainState, safetensors};
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

/// Writes this rank's part of a state through `write_file`, which takes a file's name and what fills it.
pub(crate) fn save<S: TrainState>(
    state: &S,
    saved: Saved,
    mut write_file: impl FnMut(&str, &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<()>,
) -> Result<()> {
    let mut writer = StateWriter::default();
    state.save(&mut writer)?;
    let StateWriter { tensors, rank_tensors, values, .. } = writer;
    // The other ranks' tensors are replicas of rank 0's.
    if saved.rank == 0 {
        for (path, tensors) in &tensors {
            write_file(&tensor_file(path), &mut |out| safetensors::write(tensors, out))?;
        }
    }
    let Saved { rank, world_size, steps, device } = saved;
    for (path, tensors) in &rank_tensors {
        write_file(&rank_tensor_file(rank, path), &mut |out| safetensors::write(tensors, out))?;
    }
    let GeneratorsState { cpu: generator, cuda: cuda_generator } = Generators::of(device).state()?;
    let file = RankFile { format: FORMAT, rank, world_size, steps, generator, cuda_generator, values };
    let bytes = encode(&file, "write the state")?;
    write_file(&rank_file(rank), &mut |out| Ok(out.write_all(&bytes)?))
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
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let file: RankFile = rmp_serde::from_slice(&bytes)
        .map_err(|error| Error::checkpoint(format!("{} cannot be read: {error}", path.display())))?;
    if file.format != FORMAT {
        return Err(Error::checkpoint(format!(
            "{} has format {}, and this version of trainloop ({}) reads format {FORMAT}",
            path.display(),
            file.format,
            env!("CARGO_PKG_VERSION")
        )));
    }
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
