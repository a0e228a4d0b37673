//! The checkpoint of format 1 that is kept for ever, in `checkpoint/tests/format-1-state`: whatever changes, it is restored.

use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};
use trainloop_checkpoint::{Checkpoints, Score, Staged};

use super::{Head, Reader, Saved, StateReader, StateWriter, TrainState, Weights};
use crate::error::Result;

const WORLD_SIZE: usize = 2;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoint/tests/format-1-state")
}

/// Tensors of several kinds and shapes.
#[derive(Debug)]
struct Mixed(Vec<(String, Tensor)>);

impl TrainState for Mixed {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.tensors(self.0.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect())
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        self.0 = from.tensors()?.into_iter().collect();
        Ok(())
    }
}

#[derive(TrainState, Debug, PartialEq)]
#[state(crate = crate)]
enum Phase {
    Warmup,
    Main {
        #[state(serde)]
        step: u64,
    },
}

#[derive(TrainState, Debug)]
#[state(crate = crate, version = 3)]
struct Kept {
    mixed: Mixed,
    head: Head,
    parts: Vec<Weights>,
    absent: Option<Head>,
    phase: Phase,
    #[state(serde)]
    losses: Vec<f64>,
    #[state(serde)]
    rank: usize,
}

fn kept(rank: usize) -> Kept {
    let numbers = |kind| Tensor::arange(6, (Kind::Int64, Device::Cpu)).view([2, 3]).to_kind(kind);
    let kinds = [Kind::Bool, Kind::Uint8, Kind::Int64, Kind::Half, Kind::BFloat16, Kind::Float, Kind::Double];
    let mut mixed: Vec<_> = kinds.map(|kind| (format!("{kind:?}"), numbers(kind))).into();
    mixed.push(("empty".to_owned(), Tensor::zeros([0, 4], (Kind::Float, Device::Cpu))));
    mixed.push(("scalar".to_owned(), Tensor::from(0.1)));
    mixed.sort_by(|(a, _), (b, _)| a.cmp(b));
    Kept {
        mixed: Mixed(mixed),
        head: Head { weights: Weights::of(&[0.5, -2.0]), scale: 0.1 },
        parts: vec![Weights::of(&[1.0]), Weights::of(&[2.0, 3.0])],
        absent: None,
        phase: Phase::Main { step: 1 << 40 },
        losses: vec![0.25, f64::NAN, f64::NEG_INFINITY],
        rank,
    }
}

#[test]
fn a_state_of_format_1_is_restored() {
    let checkpoint = folder().join("checkpoints/checkpoint_000002");
    for rank in 0..WORLD_SIZE {
        let mut state = kept(rank);
        for (_, tensor) in &mut state.mixed.0 {
            *tensor = tensor.zeros_like();
        }
        state.head = Head { weights: Weights::of(&[0.0, 0.0]), scale: 0.0 };
        state.parts = vec![Weights::of(&[0.0]), Weights::of(&[0.0, 0.0])];
        (state.phase, state.losses, state.rank) = (Phase::Warmup, Vec::new(), 9);
        super::super::restore(&mut state, &checkpoint, Reader { rank, world_size: WORLD_SIZE, device: Device::Cpu })
            .unwrap();

        let expected = kept(rank);
        assert_eq!(state.mixed.0.len(), expected.mixed.0.len());
        for ((name, found), (expected_name, expected)) in state.mixed.0.iter().zip(&expected.mixed.0) {
            assert_eq!((name, found.kind(), found.size()), (expected_name, expected.kind(), expected.size()));
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!((&state.head, &state.parts), (&expected.head, &expected.parts));
        assert_eq!((&state.absent, &state.phase, state.rank), (&None, &expected.phase, rank));
        let bits = |losses: &[f64]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&state.losses), bits(&expected.losses));
    }
}

/// How it was made. Another format gets another folder, and a test of its own.
#[test]
#[ignore = "writes the run anew that is kept for ever"]
fn write_format_1() {
    let _ = std::fs::remove_dir_all(folder().join("checkpoints"));
    let _ = std::fs::remove_file(folder().join("journal.jsonl"));
    std::fs::create_dir_all(folder()).unwrap();
    let checkpoints = Checkpoints::in_folder(folder());
    for index in [1, 2] {
        let staging = checkpoints.stage(index).unwrap();
        let mut files = Vec::new();
        for rank in 0..WORLD_SIZE {
            let saved = Saved { rank, world_size: WORLD_SIZE, steps: 5, device: Device::Cpu };
            let prepared = super::super::prepare(&kept(rank), saved).unwrap();
            prepared
                .write(|name, fill| {
                    files.push(staging.write_file(name, rank, |out| fill(&mut |bytes| Ok(out.write_all(bytes)?)))?);
                    Ok(())
                })
                .unwrap();
        }
        let (metrics, score) = (serde_json::json!({"loss": "NaN", "accuracy": 0.5}), Some(Score(0.5)));
        let staged = Staged { index, generation: 1, world_size: WORLD_SIZE, report: index, metrics, score, files };
        checkpoints.commit(staged).unwrap();
    }
    assert_eq!(checkpoints.delete(1), None);
}
