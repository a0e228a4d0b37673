//! What `#[state(serde)]` does to a field.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{StateReader, StateWriter};
use crate::error::Result;

/// A plain value: whatever serde can write and read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be saved as a value: serde cannot write and read it",
    label = "not `Serialize` and `DeserializeOwned`",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`, or write `#[state(skip)]` above the field"
)]
pub trait StateValue: Serialize + DeserializeOwned {}

impl<T: Serialize + DeserializeOwned> StateValue for T {}

/// Hands a field's value to `out`.
///
/// # Errors
/// Where serde cannot write it.
pub fn save_value<T: StateValue>(value: &T, out: &mut StateWriter) -> Result<()> {
    out.value(value)
}

/// Takes a field's value from `from`.
///
/// # Errors
/// Where it is missing, or serde cannot read it.
pub fn restore_value<T: StateValue>(value: &mut T, from: &StateReader<'_>) -> Result<()> {
    *value = from.value()?;
    Ok(())
}
