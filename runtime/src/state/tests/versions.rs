//! Modules that save a field, and versions of layouts, which tell them how to read it.

use tch::{Device, Kind, Tensor};

use super::{Head, StateReader, StateWriter, TrainState, head, refusal, restored, saved, tensor_files};
use crate::error::Result;

/// A type of another crate, and how it is saved.
#[derive(Debug, PartialEq)]
struct Foreign {
    words: Vec<String>,
    weight: Tensor,
}

mod foreign {
    use super::{Foreign, Result, StateReader, StateWriter};

    pub(super) fn save(value: &Foreign, out: &mut StateWriter) -> Result<()> {
        out.value(&value.words.join(" "))?;
        out.tensors(vec![("weight".to_owned(), value.weight.shallow_clone())])
    }

    /// Version 1 had commas.
    pub(super) fn restore(value: &mut Foreign, from: &StateReader<'_>) -> Result<()> {
        let separator = if from.version() < 2 { ',' } else { ' ' };
        value.words = from.value::<String>()?.split(separator).map(str::to_owned).collect();
        value.weight = from.tensors()?["weight"].shallow_clone();
        Ok(())
    }

    pub(super) mod first {
        use super::{Foreign, Result, StateReader, StateWriter};

        pub(in super::super) fn save(value: &Foreign, out: &mut StateWriter) -> Result<()> {
            out.value(&value.words.join(","))?;
            out.tensors(vec![("weight".to_owned(), value.weight.shallow_clone())])
        }

        pub(in super::super) fn restore(value: &mut Foreign, from: &StateReader<'_>) -> Result<()> {
            super::restore(value, from)
        }
    }
}

fn words(words: &[&str]) -> Foreign {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Foreign { words, weight: Tensor::ones([2], (Kind::Float, Device::Cpu)) }
}

#[derive(TrainState)]
#[state(crate = crate)]
struct First {
    #[state(with = foreign::first)]
    foreign: Foreign,
    head: Head,
}

#[derive(TrainState)]
#[state(crate = crate, version = 2)]
struct Second {
    #[state(with = foreign)]
    foreign: Foreign,
    head: Head,
}

#[test]
fn a_module_saves_what_is_of_another_crate() {
    let files = saved(&First { foreign: words(&["a", "b"]), head: head() });
    assert_eq!(tensor_files(files.path()), ["foreign.safetensors", "head.weights.safetensors"]);
    let mut state = First { foreign: Foreign { words: Vec::new(), weight: Tensor::new() }, head: head() };
    restored(&mut state, &files).unwrap();
    assert_eq!(state.foreign, words(&["a", "b"]));
}

#[test]
fn an_older_version_is_read_as_what_it_is() {
    let blank = || Second { foreign: Foreign { words: Vec::new(), weight: Tensor::new() }, head: head() };
    let second = saved(&Second { foreign: words(&["a", "b,c"]), head: head() });
    let first = saved(&First { foreign: words(&["a", "b c"]), head: head() });
    for (files, expected) in [(second, words(&["a", "b,c"])), (first, words(&["a", "b c"]))] {
        let mut state = blank();
        restored(&mut state, &files).unwrap();
        assert_eq!(state.foreign, expected);
    }
}

#[test]
fn a_newer_version_is_refused_by_a_program_without_any() {
    let files = saved(&Second { foreign: words(&["a"]), head: head() });
    assert_eq!(
        refusal(&mut First { foreign: words(&["x"]), head: head() }, &files),
        "the state in FOLDER: it was saved with version 2 of its layout, and this program reads versions up to 1; go on \
         with the program that saved it or a newer one, or begin a new run"
    );
}

/// Each layout has a version of its own; a part that is not derived sees that of what is around it, or says its own.
#[test]
fn versions_nest() {
    #[derive(Default)]
    struct Sees(u32);
    impl TrainState for Sees {
        fn save(&self, out: &mut StateWriter) -> Result<()> {
            out.value(&())
        }

        fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
            self.0 = from.version();
            from.value()
        }
    }
    #[derive(Default)]
    struct Own(Sees);
    impl TrainState for Own {
        fn save(&self, out: &mut StateWriter) -> Result<()> {
            out.version(4)?;
            self.0.save(out)
        }

        fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
            from.versioned(5, |from| self.0.restore(from))
        }
    }
    #[derive(TrainState)]
    #[state(crate = crate, version = 7)]
    enum Inner {
        Only(Sees),
    }
    #[derive(TrainState)]
    #[state(crate = crate)]
    struct Plain {
        sees: Sees,
    }
    #[derive(TrainState)]
    #[state(crate = crate, version = 3)]
    struct Outer {
        before: Sees,
        inner: Inner,
        plain: Plain,
        own: Own,
        after: Vec<Sees>,
    }
    let blank = || Outer {
        before: Sees::default(),
        inner: Inner::Only(Sees::default()),
        plain: Plain { sees: Sees::default() },
        own: Own::default(),
        after: vec![Sees::default()],
    };
    let files = saved(&blank());
    let mut state = blank();
    restored(&mut state, &files).unwrap();
    let Inner::Only(inner) = &state.inner;
    let seen = [state.before.0, inner.0, state.plain.sees.0, state.own.0.0, state.after[0].0];
    assert_eq!(seen, [3, 7, 1, 4, 3]);
}
