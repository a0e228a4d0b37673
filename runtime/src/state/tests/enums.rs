//! An enum becomes what was saved, or says why it cannot.

use super::{TrainState, Weights, refusal, restored, saved, tensor_files};
use crate::error::Result;
use crate::state::{StateReader, StateValue, StateWriter};

#[derive(TrainState, Debug, PartialEq)]
#[state(crate = crate)]
enum Phase {
    Warmup,
    Main {
        #[state(serde)]
        step: u64,
        #[state(serde, default = 0.5)]
        momentum: f64,
    },
    Averaging(#[state(serde)] u64, Weights),
}

#[derive(TrainState, Debug, PartialEq)]
#[state(crate = crate)]
struct Run {
    phase: Phase,
    #[state(serde)]
    epoch: u64,
}

fn run(phase: Phase) -> Run {
    Run { phase, epoch: 0 }
}

#[test]
fn an_enum_in_the_saved_variant_is_restored_field_by_field() {
    let files = saved(&Run { phase: Phase::Averaging(7, Weights::of(&[1.0, 2.0])), epoch: 3 });
    assert_eq!(tensor_files(files.path()), ["phase.Averaging.1.safetensors"]);
    let mut state = run(Phase::Averaging(0, Weights::of(&[0.0, 0.0])));
    restored(&mut state, &files).unwrap();
    assert_eq!(state, Run { phase: Phase::Averaging(7, Weights::of(&[1.0, 2.0])), epoch: 3 });
}

#[test]
fn an_enum_in_another_variant_becomes_the_saved_one_where_that_is_values() {
    let main = || Phase::Main { step: 9, momentum: 0.25 };
    for (phase, expected) in [(Phase::Warmup, Phase::Warmup), (main(), main())] {
        let files = saved(&run(phase));
        for built in [Phase::Warmup, Phase::Main { step: 0, momentum: 0.0 }, Phase::Averaging(0, Weights::of(&[0.0]))] {
            let mut state = run(built);
            restored(&mut state, &files).unwrap();
            assert_eq!(state.phase, expected);
        }
    }
}

#[test]
fn a_variant_with_parts_is_not_made_up() {
    let files = saved(&run(Phase::Averaging(7, Weights::of(&[1.0]))));
    assert_eq!(
        refusal(&mut run(Phase::Warmup), &files),
        "`phase` in FOLDER: it was saved as the variant `Averaging` and is `Warmup` now, and the saved one cannot be made \
         from the checkpoint alone; build the state with `Averaging` before restoring"
    );
}

/// An enum may be the whole state.
#[test]
fn an_enum_at_the_root() {
    let files = saved(&Phase::Main { step: 2, momentum: 0.1 });
    let mut state = Phase::Warmup;
    restored(&mut state, &files).unwrap();
    assert_eq!(state, Phase::Main { step: 2, momentum: 0.1 });
    let empty = saved(&Vec::<Weights>::new());
    assert!(refusal(&mut state, &empty).contains("has no enum variant at its root"), "{}", refusal(&mut state, &empty));
}

/// The enum as it became later.
mod later {
    use super::{TrainState, Weights};

    #[derive(TrainState, Debug, PartialEq)]
    #[state(crate = crate)]
    pub(super) enum Phase {
        #[state(alias = "Heating", alias = "Warmup")]
        Beginning,
        #[state(rename = "Main")]
        Middle {
            #[state(serde, alias = "step")]
            steps: u64,
            #[state(serde)]
            momentum: f64,
            #[state(serde, default = 10)]
            patience: u64,
        },
        Waiting {
            #[state(serde, default)]
            rounds: u64,
        },
    }

    #[derive(TrainState, Debug, PartialEq)]
    #[state(crate = crate)]
    pub(super) struct Run {
        pub(super) phase: Phase,
        #[state(serde)]
        pub(super) epoch: u64,
    }

    /// As it was before.
    #[derive(TrainState)]
    #[state(crate = crate)]
    pub(super) enum Waits {
        Waiting,
        #[expect(dead_code)]
        Other(Weights),
    }
}

#[test]
fn variants_are_read_from_their_older_names() {
    use later::Phase as Later;
    let built = || later::Run { phase: Later::Waiting { rounds: 1 }, epoch: 0 };
    let cases = [
        (Phase::Warmup, Later::Beginning),
        (Phase::Main { step: 4, momentum: 0.5 }, Later::Middle { steps: 4, momentum: 0.5, patience: 10 }),
    ];
    for (before, after) in cases {
        let mut state = built();
        restored(&mut state, &saved(&run(before))).unwrap();
        assert_eq!(state.phase, after);
    }
    assert_eq!(
        refusal(&mut built(), &saved(&run(Phase::Averaging(0, Weights::of(&[1.0]))))),
        "`phase` in FOLDER: it was saved as the variant `Averaging`, which the enum does not have (there is: `Beginning`, \
         `Main`, `Waiting`); was it renamed? (`#[state(alias = \"Averaging\")]` above a variant reads the old name)"
    );
}

/// What stays as it was built where the checkpoint lacks it must have been built.
#[test]
fn a_variant_is_not_made_without_a_field_that_would_stay() {
    let files = saved(&later::Waits::Waiting);
    let mut built = later::Phase::Waiting { rounds: 5 };
    restored(&mut built, &files).unwrap();
    assert_eq!(built, later::Phase::Waiting { rounds: 5 });
    let refused = refusal(&mut later::Phase::Beginning, &files);
    assert!(refused.contains("build the state with `Waiting` before restoring"), "{refused}");
    let mut made = later::Phase::Beginning;
    restored(&mut made, &saved(&later::Phase::Waiting { rounds: 6 })).unwrap();
    assert_eq!(made, later::Phase::Waiting { rounds: 6 });
}

/// The bounds are those of the fields' types; one that a module saves has none.
#[derive(TrainState, Debug, PartialEq)]
#[state(crate = crate)]
enum Generic<P, V, W, const N: usize>
where
    W: StateValue,
{
    Parts(P),
    Values {
        #[state(serde, default = Self::none())]
        some: Option<V>,
        #[state(with = in_a_list)]
        other: W,
        #[state(skip)]
        array: [W; N],
    },
}

impl<P, V, W: StateValue, const N: usize> Generic<P, V, W, N> {
    fn none() -> Option<V> {
        None
    }
}

mod in_a_list {
    use super::StateValue;
    use super::{Result, StateReader, StateWriter};

    pub(super) fn save<T: StateValue>(value: &T, out: &mut StateWriter) -> Result<()> {
        out.value(&[value])
    }

    pub(super) fn restore<T: StateValue>(value: &mut T, from: &StateReader<'_>) -> Result<()> {
        [*value] = from.value()?;
        Ok(())
    }
}

#[test]
fn generic_states() {
    type Of = Generic<Weights, u8, char, 2>;
    let files = saved(&Of::Values { some: Some(3), other: 'a', array: ['b', 'c'] });
    let mut state = Of::Values { some: None, other: 'x', array: ['y', 'z'] };
    restored(&mut state, &files).unwrap();
    assert_eq!(state, Of::Values { some: Some(3), other: 'a', array: ['y', 'z'] });
    let mut state = Of::Parts(Weights::of(&[0.0]));
    restored(&mut state, &saved(&Of::Parts(Weights::of(&[1.0])))).unwrap();
    assert_eq!(state, Of::Parts(Weights::of(&[1.0])));
}
