//! What `#[state(serde)]` does to a field.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{StateReader, StateWriter};
use crate::error::Result;

/// A plain value: whatever serde can write and read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be saved as a value: serde cannot write and read it",
    label = "not `Serialize` and `DeserializeOwned`",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`, or write `#[state(skip)]` or `#[state(with = module)]` above the field"
)]
pub trait StateValue: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> StateValue for T {}

/// How a value is saved and restored.
#[derive(Clone, Copy)]
pub struct ValueOf<T> {
    save: fn(&T, &mut StateWriter) -> Result<()>,
    read: fn(&StateReader<'_>) -> Result<T>,
}

/// The one place that asks for [`StateValue`], so that rustc has one message for a type that is none, though the derive saves
/// and restores it.
#[must_use]
pub fn value_of<T: StateValue>() -> ValueOf<T> {
    ValueOf { save: |value, out| out.value(value), read: |from| from.value() }
}

impl<T> ValueOf<T> {
    /// Hands a value to `out`.
    ///
    /// # Errors
    /// Where serde cannot write it.
    pub fn save(self, value: &T, out: &mut StateWriter) -> Result<()> {
        (self.save)(value, out)
    }

    /// The value in `from`.
    ///
    /// # Errors
    /// Where it is missing, or serde cannot read it.
    pub fn read(self, from: &StateReader<'_>) -> Result<T> {
        (self.read)(from)
    }

    /// Takes a value from `from`.
    ///
    /// # Errors
    /// Where it is missing, or serde cannot read it.
    pub fn restore(self, value: &mut T, from: &StateReader<'_>) -> Result<()> {
        *value = self.read(from)?;
        Ok(())
    }
}
