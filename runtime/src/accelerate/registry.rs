//! What an accelerator has prepared, or was given to keep: what its checkpoints hold.

use std::cell::RefCell;
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::state::{StateReader, StateWriter, TrainState};

/// Parts under their names, such as `model` and `optimizer_1`. As a state it saves and restores each.
#[derive(Default)]
pub(super) struct Registry(Vec<(String, Box<dyn Part>)>);

/// A handle of a part that the loop has one of, too.
pub(super) trait Part {
    fn save(&self, out: &mut StateWriter) -> Result<()>;
    fn restore(&mut self, from: &StateReader<'_>) -> Result<()>;
    /// Where what it is a handle of lies.
    fn address(&self) -> usize;
}

impl<T: TrainState> Part for Rc<RefCell<T>> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        self.try_borrow().map_err(|_| borrowed("saved"))?.save(out)
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        self.try_borrow_mut().map_err(|_| borrowed("restored"))?.restore(from)
    }

    fn address(&self) -> usize {
        Rc::as_ptr(self).addr()
    }
}

fn borrowed(what: &str) -> Error {
    Error::config(format!(
        "a part of the state is borrowed while it is to be {what}; let go of what `borrow` or `borrow_mut` gave before"
    ))
}

/// Models and loaders, which need no borrowing.
impl<T> Part for Rc<T>
where
    Rc<T>: TrainState,
{
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        TrainState::save(self, out)
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        TrainState::restore(self, from)
    }

    fn address(&self) -> usize {
        Rc::as_ptr(self).addr()
    }
}

impl Registry {
    /// Keeps a part: the first of its kind under that name, the next with a number.
    pub(super) fn add(&mut self, kind: &str, part: impl Part + 'static) {
        let number = self.count(kind);
        let name = if number == 0 { kind.to_owned() } else { format!("{kind}_{number}") };
        self.0.push((name, Box::new(part)));
    }

    /// How many parts of a kind there are.
    pub(super) fn count(&self, kind: &str) -> usize {
        let is_of = |name: &str| name.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
        self.0.iter().filter(|(name, _)| is_of(name)).count()
    }

    /// Lets go of the part that lies there.
    pub(super) fn forget(&mut self, address: usize) {
        self.0.retain(|(_, part)| part.address() != address);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl TrainState for Registry {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        self.0.iter().try_for_each(|(name, part)| out.field(name, |out| part.save(out)))
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        self.0.iter_mut().try_for_each(|(name, part)| from.field(name, |from| part.restore(from)))
    }
}
