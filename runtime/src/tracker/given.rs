//! The trackers that a run was given.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::Tracker;

pub(super) type Shared = Arc<Mutex<dyn Tracker>>;

/// A configuration's trackers; copies of it have the very same.
#[derive(Clone, Default)]
pub(crate) struct Given(Vec<Shared>);

impl Given {
    pub(crate) fn add(&mut self, tracker: impl Tracker + 'static) {
        self.0.push(Arc::new(Mutex::new(tracker)));
    }

    /// These, or `defaults` where there are none.
    pub(crate) fn or(self, defaults: Self) -> Self {
        if self.0.is_empty() { defaults } else { self }
    }

    pub(super) fn all(&self) -> &[Shared] {
        &self.0
    }
}

impl PartialEq for Given {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

impl Eq for Given {}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |tracker: &Shared| tracker.lock().unwrap_or_else(PoisonError::into_inner).name().to_owned();
        f.debug_list().entries(self.0.iter().map(name)).finish()
    }
}
