//! Older names, and fields that a checkpoint lacks.

use tch::Tensor;

use super::{Head, StateReader, StateWriter, TrainState, Weights, refusal, restored, saved};
use crate::error::Result;

#[derive(TrainState, Debug, PartialEq)]
#[state(crate = crate)]
struct Net {
    head: Head,
    #[state(serde)]
    steps: u64,
}

#[derive(TrainState, Debug, PartialEq)]
#[state(crate = crate)]
struct HeadLater {
    #[state(alias = "kernel", alias = "weights")]
    matrix: Weights,
    #[state(serde, alias = "scale")]
    factor: f64,
    #[state(default)]
    bias: Weights,
    #[state(serde, default)]
    seed: u64,
}

#[derive(TrainState, Debug, PartialEq)]
#[state(crate = crate)]
struct NetLater {
    #[state(alias = "head")]
    top: HeadLater,
    #[state(default)]
    ema: Option<HeadLater>,
    #[state(default = Some(Weights::of(&[5.0])))]
    mean: Option<Weights>,
    #[state(serde, default = Self::PATIENCE)]
    patience: u64,
    #[state(serde, rename = "steps", alias = "step")]
    count: u64,
}

impl NetLater {
    const PATIENCE: u64 = 3;

    /// As a program builds it before it restores.
    fn built() -> Self {
        let head =
            |value| HeadLater { matrix: Weights::of(&[value]), factor: 0.0, bias: Weights::of(&[8.0]), seed: 17 };
        Self { top: head(0.0), ema: Some(head(4.0)), mean: None, patience: 0, count: 0 }
    }
}

#[test]
fn older_names_and_absent_fields_of_parts_and_values_at_every_depth() {
    let files = saved(&Net { head: Head { weights: Weights::of(&[1.0]), scale: 0.1 }, steps: 6 });
    let mut state = NetLater::built();
    restored(&mut state, &files).unwrap();
    let mut expected = NetLater::built();
    expected.top.matrix = Weights::of(&[1.0]);
    expected.top.factor = 0.1;
    expected.mean = Some(Weights::of(&[5.0]));
    expected.patience = 3;
    expected.count = 6;
    assert_eq!(state, expected);
}

/// A default is for what is absent alone.
#[test]
fn what_is_saved_goes_before_a_default() {
    let mut other = NetLater::built();
    other.top.seed = 1;
    other.top.bias = Weights::of(&[2.0]);
    other.ema.as_mut().unwrap().factor = 0.75;
    other.mean = Some(Weights::of(&[6.0]));
    other.patience = 11;
    let files = saved(&other);
    let mut state = NetLater::built();
    state.mean = Some(Weights::of(&[0.0]));
    restored(&mut state, &files).unwrap();
    assert_eq!(state, other);
}

/// Where a checkpoint has a field under both names, the older one is not silently dropped.
#[test]
fn the_new_name_goes_before_the_old() {
    #[derive(TrainState)]
    #[state(crate = crate)]
    struct Both {
        #[state(serde)]
        new: u64,
        #[state(serde)]
        old: u64,
    }
    #[derive(TrainState)]
    #[state(crate = crate)]
    struct One {
        #[state(serde, alias = "old")]
        new: u64,
    }
    let files = saved(&Both { new: 1, old: 2 });
    let mut state = One { new: 0 };
    let refused = refusal(&mut state, &files);
    assert_eq!(state.new, 1);
    assert!(refused.contains("holds `old`, which the state does not ask for"), "{refused}");
    let missing = refusal(&mut One { new: 0 }, &saved(&Vec::<Weights>::new()));
    assert!(missing.contains("has no value `new`, which the state asks for"), "{missing}");
}

#[test]
fn a_name_that_begins_like_another_is_not_there() {
    #[derive(TrainState)]
    #[state(crate = crate)]
    struct Long {
        #[state(serde)]
        steps: u64,
        header: Vec<Weights>,
    }
    #[derive(TrainState)]
    #[state(crate = crate)]
    struct Both {
        #[state(serde)]
        steps: u64,
        header: Vec<Weights>,
        #[state(serde, default)]
        step: u64,
        #[state(default)]
        head: Option<Weights>,
    }
    let files = saved(&Long { steps: 2, header: vec![Weights::of(&[1.0])] });
    let head = Some(Weights::of(&[3.0]));
    let mut state = Both { steps: 0, header: vec![Weights::of(&[0.0])], step: 5, head };
    restored(&mut state, &files).unwrap();
    assert_eq!((state.steps, state.step), (2, 5));
    assert_eq!((state.header, state.head), (vec![Weights::of(&[1.0])], Some(Weights::of(&[3.0]))));
}

/// Tensors that are each rank's own are looked for by their names, too.
#[test]
fn tensors_of_one_rank_are_found_under_an_older_name() {
    struct Own(Tensor);
    impl TrainState for Own {
        fn save(&self, out: &mut StateWriter) -> Result<()> {
            out.rank_tensors(vec![("mean".to_owned(), self.0.shallow_clone())])
        }

        fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
            if let Some(mean) = from.rank_tensors()?.remove("mean") {
                self.0 = mean;
            }
            Ok(())
        }
    }
    #[derive(TrainState)]
    #[state(crate = crate)]
    struct Before {
        old: Own,
    }
    #[derive(TrainState)]
    #[state(crate = crate)]
    struct After {
        #[state(alias = "old")]
        new: Own,
    }
    let files = saved(&Before { old: Own(Tensor::from_slice(&[1.0])) });
    let mut state = After { new: Own(Tensor::from_slice(&[0.0])) };
    restored(&mut state, &files).unwrap();
    assert_eq!(state.new.0, Tensor::from_slice(&[1.0]));
}
