//! States that go through files and come back.

mod enums;
mod format_1;
mod names;
mod parts;
mod versions;

use std::fs::{File, create_dir_all};
use std::io::Write;
use std::path::Path;

use tch::{Device, Tensor};
use tempfile::TempDir;

use super::{Reader, Saved, StateReader, StateWriter, TrainState};
use crate::error::Result;

/// A part with a tensor.
#[derive(Debug, PartialEq)]
struct Weights(Tensor);

impl Weights {
    fn of(values: &[f32]) -> Self {
        Self(Tensor::from_slice(values))
    }
}

impl TrainState for Weights {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.tensors(vec![("weight".to_owned(), self.0.shallow_clone())])
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        self.0 = from.tensors()?["weight"].shallow_clone();
        Ok(())
    }
}

fn saved(state: &impl TrainState) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let prepared = super::prepare(state, Saved { rank: 0, world_size: 1, steps: 0, device: Device::Cpu }).unwrap();
    prepared
        .write(|name, fill| {
            let path = directory.path().join(name);
            create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = File::create(path).unwrap();
            fill(&mut |bytes| Ok(file.write_all(bytes)?))
        })
        .unwrap();
    directory
}

fn restored(state: &mut impl TrainState, from: &TempDir) -> Result<()> {
    super::restore(state, from.path(), Reader { rank: 0, world_size: 1, device: Device::Cpu }).map(drop)
}

/// Why `state` cannot be restored, without the folder's name.
fn refusal(state: &mut impl TrainState, from: &TempDir) -> String {
    let folder = from.path().display().to_string();
    restored(state, from).unwrap_err().to_string().replace(&folder, "FOLDER")
}

/// The files of tensors.
fn tensor_files(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".safetensors")).collect();
    names.sort();
    names
}

/// A part of parts and values.
#[derive(TrainState, Debug, PartialEq)]
#[state(crate = crate)]
struct Head {
    weights: Weights,
    #[state(serde)]
    scale: f64,
}

fn head() -> Head {
    Head { weights: Weights::of(&[1.0]), scale: 1.0 }
}

/// The state itself and a field of the name `state` would have one file of tensors; either alone has it.
#[test]
fn a_field_may_be_named_state() {
    #[derive(TrainState)]
    #[state(crate = crate)]
    struct Holder {
        state: Weights,
    }
    let mut holder = Holder { state: Weights::of(&[0.0]) };
    restored(&mut holder, &saved(&Holder { state: Weights::of(&[1.0]) })).unwrap();
    assert_eq!(holder.state, Weights::of(&[1.0]));
    let mut alone = Weights::of(&[0.0]);
    restored(&mut alone, &saved(&Weights::of(&[2.0]))).unwrap();
    assert_eq!(alone, Weights::of(&[2.0]));
}
