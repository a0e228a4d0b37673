//! The small parts of a training, through the files of a checkpoint.

use tch::{Device, Kind, Tensor};

use super::{refusal, restored, saved};
use crate::error::Result;
use crate::optim::{GradScaler, Sgd};
use crate::random::Generators;
use crate::schedule::{OneCycleLr, PlateauScheduler, ReduceOnPlateau, Schedule, Scheduler};
use crate::state::{StateReader, StateWriter, TrainState};

struct State {
    optimizer: Sgd,
    schedule: Scheduler<OneCycleLr>,
    plateau: PlateauScheduler,
    scaler: GradScaler,
    generators: Generators,
}

impl TrainState for State {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.field("optimizer", |out| self.optimizer.save(out))?;
        out.field("schedule", |out| self.schedule.save(out))?;
        out.field("plateau", |out| self.plateau.save(out))?;
        out.field("scaler", |out| self.scaler.save(out))?;
        out.field("generators", |out| self.generators.save(out))
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        from.field("optimizer", |from| self.optimizer.restore(from))?;
        from.field("schedule", |from| self.schedule.restore(from))?;
        from.field("plateau", |from| self.plateau.restore(from))?;
        from.field("scaler", |from| self.scaler.restore(from))?;
        from.field("generators", |from| self.generators.restore(from))
    }
}

fn build(patience: u64) -> State {
    let weight = Tensor::ones([2], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let mut optimizer = Sgd::builder(0.1).momentum(0.9).build(&vec![("w".to_owned(), weight)]).unwrap();
    State {
        schedule: OneCycleLr::new(20).attach(&mut optimizer).unwrap(),
        plateau: ReduceOnPlateau::new().patience(patience).attach(&optimizer).unwrap(),
        scaler: GradScaler::builder().init_scale(1024.0).growth_interval(2).build().unwrap(),
        generators: Generators::of(Device::Cpu),
        optimizer,
    }
}

/// What a step shows of each part. The generator is the process's, which other tests draw from meanwhile: `tests/random.rs`
/// has it alone.
fn step(state: &mut State, value: f64) -> (u64, f64, f64, bool) {
    let weight = Tensor::from_slice(&[value]).set_requires_grad(true);
    let mut other = Sgd::builder(0.1).build(&vec![("x".to_owned(), weight.shallow_clone())]).unwrap();
    let taken = state.scaler.backward_step(&mut other, &weight.square().sum(None)).unwrap();
    state.schedule.step(&mut state.optimizer).unwrap();
    state.plateau.step(value, &mut state.optimizer).unwrap();
    let scale = state.scaler.state().unwrap().scale;
    (state.schedule.steps(), state.optimizer.learning_rate(), scale, taken)
}

#[test]
fn every_part_goes_on_where_it_was() {
    let metrics = [0.5, 0.6, f64::INFINITY, 0.7, 0.8, 0.4, f64::NAN, 0.9];
    let mut state = build(1);
    for value in metrics {
        step(&mut state, value);
    }
    let files = saved(&state);
    let expected: Vec<_> = metrics.map(|value| step(&mut state, value)).into();

    let mut again = build(1);
    restored(&mut again, &files).unwrap();
    let found: Vec<_> = metrics.map(|value| step(&mut again, value)).into();
    assert_eq!(found, expected);
    assert!(found.iter().any(|step| !step.3) && found.iter().any(|step| step.3));
}

#[test]
fn a_plateau_with_other_numbers_names_its_place() {
    let files = saved(&build(1));
    let text = refusal(&mut build(2), &files);
    assert!(text.contains("plateau") && text.contains("patience: 1") && text.contains("patience: 2"), "{text}");
}
