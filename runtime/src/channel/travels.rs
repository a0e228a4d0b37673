//! What goes from one process to another, and to a run's records.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{decode, encode};
use crate::controller::from_record;
use crate::error::Result;

/// A value that goes between the driver and its workers, and into the run's records: a config, metrics, what a loop returns.
///
/// Everything that serde can write and read is one. The trait has serde's work as methods of its own and no serde trait
/// above it, so that a type without serde gives one message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel between the driver and its workers: serde cannot write and read it",
    label = "not `serde::Serialize` and `serde::de::DeserializeOwned`",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`"
)]
pub trait Travels: Sized + 'static {
    #[doc(hidden)]
    fn encode(&self, what: &'static str) -> Result<Vec<u8>>;

    #[doc(hidden)]
    fn decode(bytes: &[u8], what: &'static str) -> Result<Self>;

    #[doc(hidden)]
    fn from_record(record: Value) -> Result<Self>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Travels for T {
    fn encode(&self, what: &'static str) -> Result<Vec<u8>> {
        encode(self, what)
    }

    fn decode(bytes: &[u8], what: &'static str) -> Result<Self> {
        decode(bytes, what)
    }

    fn from_record(record: Value) -> Result<Self> {
        from_record(record)
    }
}
